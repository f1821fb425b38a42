"""Records that pass between the stages, and protocols of the stages.

Conventions: records are frozen and their arrays read-only; channels come first, time last.
Shape alphabet: C channels, S samples, M mels, T frames, K classes, G tags. Samples are float32 in -1 to 1.
Time is a count of samples since the stream's start: at the source's rate in a `Block` from capture,
at the model's rate from `resample` on. Seconds and UTC are derived in `events/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.contract import ModelContract

Samples = NDArray[np.float32]

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
GapReason = Literal["capture", "overload", "paused"]
OverloadState = Literal["degraded", "recovered"]


def read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make an array read-only and return it."""
    array.flags.writeable = False
    return array


_NO_TAGS: Final = read_only(np.zeros(0, np.float32))


def no_tags() -> NDArray[np.float32]:
    """Return the scores of no tags: (0,)."""
    return _NO_TAGS


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive samples of one source.

    Attributes:
        samples: (C, S).
        rate_hz: Sampling rate.
        first_sample: Number of the first sample, lost ones counted.
        lost_samples: Number of samples missing right before the first.
        arrival_ns: Time of delivery by the monotonic clock; None for recordings.
    """

    samples: Samples
    rate_hz: int
    first_sample: int
    lost_samples: int = 0
    arrival_ns: int | None = None


def join_blocks(blocks: Sequence[Block]) -> Block:
    """Join blocks without a loss between them; the joined block arrived with its last part."""
    if len(blocks) == 1:
        return blocks[0]
    samples = read_only(np.concatenate([block.samples for block in blocks], axis=1))
    return replace(blocks[0], samples=samples, arrival_ns=blocks[-1].arrival_ns)


@dataclass(frozen=True, slots=True)
class Window:
    """One window of the model's length, at the model's rate.

    Attributes:
        samples: (C, spec.window_samples), or (1, ...) for a mono signal; zeros stand for lost samples and for those
            after the end.
        first_sample: Number of the first sample.
        valid_samples: Number of samples, from the first on, before the end of the sound.
        complete: False if samples inside were lost.
    """

    samples: Samples
    first_sample: int
    valid_samples: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Features:
    """Network input of one window.

    Attributes:
        mel_db: (C, M, T) decibels, `top_db` applied.
        first_sample: Number of the window's first sample.
        end_sample: Number of the sample after its last valid one.
        complete: False if samples inside were lost.
    """

    mel_db: NDArray[np.float32]
    first_sample: int
    end_sample: int
    complete: bool


@dataclass(frozen=True, slots=True)
class FeatureWindow:
    """Features and level of one window, without its samples.

    Attributes:
        features: Network input.
        level_dbfs: Root mean square of the samples; None for digital silence.
    """

    features: Features
    level_dbfs: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """Network output of one window.

    Attributes:
        values: (K,) in [0, 1].
        labels: The K classes.
        first_sample: Number of the window's first sample.
        end_sample: Number of the sample after its last valid one.
        complete: False if samples inside were lost.
        tag_values: (G,) in [0, 1]; empty for a model without tags.
        tags: The G tags.
    """

    values: NDArray[np.float32]
    labels: tuple[str, ...]
    first_sample: int
    end_sample: int
    complete: bool
    tag_values: NDArray[np.float32] = field(default_factory=no_tags)
    tags: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Gap:
    """Lost sound, in samples at the model's rate.

    Attributes:
        first_sample: Number of the first lost sample.
        lost_samples: Number of lost samples.
        reason: The sound was not captured, its window was dropped under overload, or the source was paused.
    """

    first_sample: int
    lost_samples: int
    reason: GapReason = "capture"


@dataclass(frozen=True, slots=True)
class OverloadChange:
    """Change of the window hop under load, for all sources.

    Attributes:
        state: degraded if fewer windows are classified than the model asks for, recovered if all are.
        hop_samples: New distance of two classified windows, at the model's rate.
        behind_ns: Age of the oldest unfinished window.
        dropped_windows: Number of windows dropped so far; a `Gap` reports each.
    """

    state: OverloadState
    hop_samples: int
    behind_ns: int
    dropped_windows: int


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """Totals of one stream.

    Attributes:
        windows: Number of classified windows.
        end_sample: Length of the stream in samples at the model's rate, lost ones counted.
        lost_samples: Number of lost samples.
        final: True if the stream has ended.
    """

    windows: int
    end_sample: int
    lost_samples: int
    final: bool = True

    @property
    def coverage(self) -> float | None:
        """Share of the stream that was captured; None for an empty stream."""
        return max(0, self.end_sample - self.lost_samples) / self.end_sample if self.end_sample else None


class Classifier(Protocol):
    """An opened model."""

    @property
    def contract(self) -> ModelContract:
        """Contract of the model file."""

    @property
    def provider(self) -> str:
        """Execution provider, as the runtime reports it: `CPUExecutionProvider`, ..."""

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute scores (N, K + G) in [0, 1] of N windows' mel decibels (N, C, M, T): the classes, then the tags."""


class Clock(Protocol):
    """Clock that stamps lines: the wall clock live, the sample clock in a replay."""

    def written_unix_ns(self, complete_unix_ns: int) -> int:
        """Return UTC in nanoseconds of a line about sound that was complete at `complete_unix_ns`."""


@dataclass(frozen=True, slots=True)
class WindowResult:
    """Scores and statistics of one classified window.

    Attributes:
        source: Name of the source.
        end_unix_ns: UTC of the window's last sample.
        labels: The K classes.
        values: (K,) scores.
        level_dbfs: Root mean square of the samples; None for digital silence.
        delay_ns: Time from the arrival of the last sample to the decision.
        windows: Number of classified windows of this source.
        processed_s: Length of the stream so far, without lost sound.
        lost_s: Length of the lost sound.
        features: Network input; None unless a client asked for spectrograms.
        tags: The G tags; empty for a model without tags.
        tag_values: (G,) scores of the tags.
    """

    source: str
    end_unix_ns: int
    labels: tuple[str, ...]
    values: NDArray[np.float32]
    level_dbfs: float | None
    delay_ns: int
    windows: int
    processed_s: float
    lost_s: float
    features: Features | None = None
    tags: tuple[str, ...] = ()
    tag_values: NDArray[np.float32] = field(default_factory=no_tags)
