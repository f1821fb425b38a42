"""One window of the model's length and its features.

Conventions: time is counted in samples at the model's rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Samples


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
