"""Detected sounds.

Conventions: time is counted in samples at the model's rate. Seconds and UTC are derived in `events/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventType = Literal["start", "update", "end"]
EndReason = Literal[
    "decay",
    "max_duration",
    "end_of_stream",
    "shutdown",
    "source_lost",
    "paused",
    "model_changed",
    "clock_set",
    "interrupted",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Start, update or end of a detected sound, in samples at the model's rate.

    Attributes:
        type: start, update or end.
        label: The class.
        class_id: Index of the class among the model's labels.
        score: Score that the decision was made on.
        peak_score: Highest score since the onset.
        level_dbfs: Root mean square of the deciding window; None for digital silence.
        decision_sample: End of the deciding window, which is the earliest time of the decision.
        onset_sample: Start of the sound. With `label` it identifies the event.
        offset_sample: End of the sound; None while it lasts.
        reason: Reason for the end; None while the sound lasts.
        continues_sample: Onset of the event that this one continues, since that one ended by its longest duration while
            the sound continued; None for a new sound.
        also: The highest tags and their scores in the window of the peak score; empty for a model without tags.
    """

    type: EventType
    label: str
    class_id: int
    score: float
    peak_score: float
    level_dbfs: float | None
    decision_sample: int
    onset_sample: int
    offset_sample: int | None = None
    reason: EndReason | None = None
    continues_sample: int | None = None
    also: tuple[tuple[str, float], ...] = ()
