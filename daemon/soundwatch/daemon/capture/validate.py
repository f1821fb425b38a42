"""The last check before sound enters the pipeline: every sample is a number of sane size."""

from __future__ import annotations

from typing import Final

import numpy as np

from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.types import Samples

LOUDEST: Final = 1000.0  # 60 dB above full scale: no recording, but integers stored as floats, or noise read as them


def validate_samples(samples: Samples, first_sample: int, rate_hz: int, where: str) -> None:
    """Refuse samples that would end as NaN in every score.

    Args:
        samples: (C, S).
        first_sample: Number of the first of them.
        rate_hz: Of these samples.
        where: What they come from, for the message.

    Raises:
        SourceError: One is NaN, infinite or far out of range; the message says which.
    """
    if np.abs(samples).max(initial=0) <= LOUDEST:  # False for NaN too
        return
    wrong = ~(np.abs(samples) <= LOUDEST)
    position = int(wrong.any(axis=0).argmax())
    channel = int(wrong[:, position].argmax())
    sample, value = first_sample + position, float(samples[channel, position])
    raise SourceError(
        f"{where}: sample {sample} ({sample / rate_hz:.3f} s) of channel {channel + 1} is {value:g}; numbers from "
        "-1 to 1 were wanted. Repair the recording, or check the sample format it is read with."
    )
