"""The course of a stream: lost sound, overload and totals.

Conventions: time is counted in samples at the model's rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GapReason = Literal["capture", "overload", "paused"]
OverloadState = Literal["degraded", "recovered"]


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
