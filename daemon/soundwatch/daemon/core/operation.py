"""What thresholds gave where they were chosen: share found against false events an hour, each class apart.

Conventions: rates are an hour of sound. The figures are of the evidence that the thresholds were chosen on, so a new
place gives somewhat less.
"""

from __future__ import annotations

import msgspec


class OperatingPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One point of a class's curve.

    Attributes:
        threshold: Of the class.
        found: Share of its sounds that have an event.
        false_per_h: False events of the class an hour, at most.
    """

    threshold: float
    found: float
    false_per_h: float


class ClassOperation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class.

    Attributes:
        low: 5 % of the choices on resampled evidence lie below this threshold.
        high: 5 % of them lie above this one.
        found: Share of its sounds that have an event, at the threshold chosen.
        false_per_h: False events of the class an hour, there.
        curve: From few false events to many.
    """

    low: float
    high: float
    found: float
    false_per_h: float
    curve: tuple[OperatingPoint, ...]


class Operation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model's thresholds were chosen.

    Attributes:
        price: Share found that one false event an hour is worth.
        measured_on: The evidence, in words.
        hours: Of streets.
        found: Mean of the classes' shares found.
        false_per_h: False events an hour in the streets, all classes.
        clips: Recordings of none of the classes, played one by one.
        raised_share: Of them, those that raised an event.
        classes: Per label.
    """

    price: float
    measured_on: str
    hours: float
    found: float
    false_per_h: float
    clips: int
    raised_share: float
    classes: dict[str, ClassOperation]
