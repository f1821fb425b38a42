"""Scores of one window, and the same with the time, the level and the totals of its stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import read_only
from soundwatch.daemon.core.records.window import Features

_NO_TAGS: Final = read_only(np.zeros(0, np.float32))


def no_tags() -> NDArray[np.float32]:
    """Return the scores of no tags: (0,)."""
    return _NO_TAGS


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
