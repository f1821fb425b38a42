"""Validation of samples before they enter the pipeline: each is a finite number of plausible size."""

from __future__ import annotations

from typing import Final

import numpy as np

from soundwatch.daemon.capture.samples.recording_error import RecordingError
from soundwatch.daemon.core.records.block import Samples

MAX_MAGNITUDE: Final = 1000.0  # 60 dB above full scale: integers stored as floats, or noise read as floats


def count_valid(samples: Samples) -> int:
    """Return the number of samples before the first invalid one of samples (C, S) with at least one."""
    return int((~(np.abs(samples) <= MAX_MAGNITUDE)).any(axis=0).argmax())


def validate_samples(samples: Samples, first_sample: int, rate_hz: int, where: str) -> None:
    """Refuse samples that would give NaN in every score.

    Args:
        samples: (C, S).
        first_sample: Number of the first sample.
        rate_hz: Sampling rate.
        where: Description of the source, for the message.

    Raises:
        RecordingError: A sample is NaN, infinite or far out of range; the message names the first one.
    """
    if samples.max(initial=0) <= MAX_MAGNITUDE and samples.min(initial=0) >= -MAX_MAGNITUDE:  # False for NaN too
        return
    position = count_valid(samples)
    channel = int((~(np.abs(samples[:, position]) <= MAX_MAGNITUDE)).argmax())
    sample, value = first_sample + position, float(samples[channel, position])
    raise RecordingError(
        f"{where}: sample {sample} ({sample / rate_hz:.3f} s) of channel {channel + 1} is {value:g}; numbers from "
        "-1 to 1 were expected. Repair the recording, or check the sample format it is read with.",
        "beyond full scale" if np.isfinite(value) else "not finite",
    )
