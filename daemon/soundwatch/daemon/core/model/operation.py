"""Operating points of a model's thresholds: share of events found against false events per hour, for each class.

Conventions: rates are per hour of sound. The figures come from the recordings that the thresholds were chosen on, so
they are slightly optimistic for a new place. A file with a number out of its range is refused when it is read.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Rate = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class OperatingPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point of a class's curve.

    Attributes:
        threshold: Threshold of the class.
        found: Share of the class's sounds that have an event.
        false_per_h: Upper limit of the class's false events per hour.
    """

    threshold: Share
    found: Share
    false_per_h: Rate


class ClassOperation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Operating point and curve of one class.

    Attributes:
        low: Threshold that 5 % of the choices on resampled recordings lie below.
        high: Threshold that 5 % of them lie above.
        found: Share of the class's sounds that have an event, at the chosen threshold.
        false_per_h: False events of the class per hour, at the chosen threshold.
        curve: Operating points, from few false events to many.
    """

    low: Share
    high: Share
    found: Share
    false_per_h: Rate
    curve: tuple[OperatingPoint, ...]


class Operation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Method and result of choosing a model's thresholds.

    Attributes:
        price: Share found that one false event per hour is worth.
        measured_on: Description of the recordings.
        hours: Hours of street sound.
        found: Mean over classes of the share found.
        false_per_h: False events per hour in street sound, all classes.
        clips: Number of recordings of none of the classes, played one by one.
        raised_share: Share of these recordings that raised an event.
        classes: Operation of each label.
    """

    price: Rate
    measured_on: str
    hours: Rate
    found: Share
    false_per_h: Rate
    clips: Count
    raised_share: Share
    classes: dict[str, ClassOperation]


class TagScore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Precision and recall of a tag on recordings that no training used, at the threshold that tags have as classes.

    Attributes:
        clips: Number of clips of the tag.
        recordings: Number of recordings that these clips are from.
        recall: Share of these clips that have the tag; null without clips.
        precision: Share of all clips with the tag that are clips of the tag; null if no clip has the tag.
    """

    clips: Count
    recordings: Count
    recall: Share | None
    precision: Share | None
