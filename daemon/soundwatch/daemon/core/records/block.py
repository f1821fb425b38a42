"""Blocks of samples, from capture to the front end.

Conventions: samples (C, S) are float32 in -1 to 1; time is counted in samples at the source's rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


def read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make an array read-only and return it."""
    array.flags.writeable = False
    return array


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
