"""The records that pass between the stages, and the protocols at the borders.

Conventions: records are frozen and their arrays read-only; channels come first, time last.
Shape alphabet: C channels, S samples, M mels, T frames, K classes. Samples are float32 in -1 to 1.
Time is a count of samples since the stream's start: at the source's rate in a `Block` from capture,
at the model's rate from `resample` on. Seconds and UTC appear only in `events/encoder.py` and `events/timeline.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.contract import ModelContract

Samples = NDArray[np.float32]

EventType = Literal["start", "update", "end"]
EndReason = Literal[
    "decay", "max_duration", "end_of_stream", "shutdown", "source_lost", "paused", "model_changed", "interrupted"
]
GapReason = Literal["capture", "overload", "paused"]
OverloadState = Literal["degraded", "recovered"]


def read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same array, marked so that no later stage can write to it."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of sound.

    Attributes:
        samples: (C, S).
        rate_hz: Of these samples.
        first_sample: Number of the first of them, lost ones counted.
        lost_samples: How many are missing right before the first.
        arrival_ns: When it was delivered, by the steady clock; None where that says nothing.
    """

    samples: Samples
    rate_hz: int
    first_sample: int
    lost_samples: int = 0
    arrival_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """One window of the model's length, at its rate.

    Attributes:
        samples: (C, spec.window_samples), or (1, ...) where a mono signal is the same on all C; zeros stand for
            what was lost and for what lies after the end.
        first_sample: Number of the first sample.
        valid_samples: How many, from the first on, lie before the end of the sound.
        complete: False where samples inside were lost.
    """

    samples: Samples
    first_sample: int
    valid_samples: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Features:
    """What the network sees of one window.

    Attributes:
        mel_db: (C, M, T) decibels, `top_db` applied.
        first_sample: Number of the window's first sample.
        end_sample: Number of the sample after its last heard one.
        complete: False where samples inside were lost.
    """

    mel_db: NDArray[np.float32]
    first_sample: int
    end_sample: int
    complete: bool


@dataclass(frozen=True, slots=True)
class FeatureWindow:
    """A window that is ready for the network, without its samples.

    Attributes:
        features: What the network sees of it.
        level_dbfs: Root mean square of its samples; None for digital silence.
    """

    features: Features
    level_dbfs: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """What the network says of one window.

    Attributes:
        values: (K,) in [0, 1].
        labels: The K classes.
        first_sample: Number of the window's first sample.
        end_sample: Number of the sample after its last heard one.
        complete: False where samples inside were lost.
    """

    values: NDArray[np.float32]
    labels: tuple[str, ...]
    first_sample: int
    end_sample: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Event:
    """A change in what is heard, in samples at the model's rate.

    Attributes:
        type: start, update or end.
        label: The class.
        class_id: Its place among the model's labels.
        score: The score decided on.
        peak_score: The highest since the onset.
        level_dbfs: Root mean square of the deciding window; None for digital silence.
        at_sample: The end of the deciding window: when this could be known.
        onset_sample: When the sound began. With `label` it names the event.
        offset_sample: When it ended; None while it lasts.
        reason: Why it ended; None while it lasts.
    """

    type: EventType
    label: str
    class_id: int
    score: float
    peak_score: float
    level_dbfs: float | None
    at_sample: int
    onset_sample: int
    offset_sample: int | None = None
    reason: EndReason | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Sound that was lost and is not coming back, in samples at the model's rate.

    Attributes:
        first_sample: Number of the first one.
        lost_samples: How many.
        reason: It was never captured, or the window that it was to be new in was dropped.
    """

    first_sample: int
    lost_samples: int
    reason: GapReason = "capture"


@dataclass(frozen=True, slots=True)
class OverloadChange:
    """A change in how well the machine keeps up with all its sources.

    Attributes:
        state: degraded where fewer windows are classified than the model asks for, recovered where all are again.
        hop_samples: Distance of two classified windows from now on, at the model's rate.
        behind_ns: How long ago the oldest window came that was not done.
        dropped_windows: How many have been dropped so far, each told of as a `Gap`.
    """

    state: OverloadState
    hop_samples: int
    behind_ns: int
    dropped_windows: int


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What a stream came to, or has come to so far.

    Attributes:
        windows: How many were classified.
        end_sample: Length of the stream in samples at the model's rate, lost ones counted.
        lost_samples: How many of them were lost.
        final: Whether the stream is over.
    """

    windows: int
    end_sample: int
    lost_samples: int
    final: bool = True

    @property
    def coverage(self) -> float | None:
        """Share of the stream that was heard; None for an empty one."""
        return max(0, self.end_sample - self.lost_samples) / self.end_sample if self.end_sample else None


class Classifier(Protocol):
    """A network that is ready to run."""

    @property
    def contract(self) -> ModelContract:
        """What the network was built for."""

    @property
    def provider(self) -> str:
        """What runs it, as the runtime itself reports it: `CPUExecutionProvider`, ..."""

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (N, K) in [0, 1] of N windows' mel decibels (N, C, M, T)."""


class Clock(Protocol):
    """Tells when a line is written; live that is now, in a replay it is when the sound was heard."""

    def written_unix_ns(self, heard_unix_ns: int) -> int:
        """UTC in nanoseconds of a line about sound that was complete at `heard_unix_ns`."""


@dataclass(frozen=True, slots=True)
class WindowResult:
    """One window of one source.

    Attributes:
        source: Its name.
        end_unix_ns: UTC of the window's last sample.
        labels: The K classes.
        values: (K,) their scores.
        level_dbfs: Root mean square of its samples; None for digital silence.
        delay_ns: From when its last sample came until it was decided on.
        windows: How many of this source have been classified.
        heard_s: Length of the stream so far, without what was lost.
        lost_s: How much was lost.
        features: What the network saw; None where nobody watches for pictures.
    """

    source: str
    end_unix_ns: int
    labels: tuple[str, ...]
    values: NDArray[np.float32]
    level_dbfs: float | None
    delay_ns: int
    windows: int
    heard_s: float
    lost_s: float
    features: Features | None = None
