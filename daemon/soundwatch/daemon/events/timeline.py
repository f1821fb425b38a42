"""UTC of the samples of a stream while the wall clock is set and the clock of the microphone drifts.

Conventions: samples at one rate; nanoseconds.
Rule: an anchor gives UTC of sample 0 and holds from one sample on. Earlier samples keep their times, so the onset of an
event is equal in its start and in its end. Times never decrease. After an anchor that is earlier than the one before,
time advances at half speed until it agrees with the anchor. Beyond `MAX_AHEAD_NS` the engine begins a stream.
Does not: know clocks (`capture/clock_sync.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SECOND_NS: Final = 1_000_000_000
KEPT_ANCHORS: Final = 256  # drift adds one in ten seconds at most: more than the default longest event needs
MAX_AHEAD_NS: Final = 300 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Anchor:
    """UTC offset of a stream from one sample on.

    Attributes:
        from_sample: The first sample of its range.
        from_unix_ns: UTC of that sample by the anchor before; no later sample is earlier.
        start_unix_ns: UTC of sample 0.
    """

    from_sample: int
    from_unix_ns: int
    start_unix_ns: int


def sample_unix_ns(sample: int, rate_hz: int, start_unix_ns: int, anchors: Sequence[Anchor]) -> int:
    """Return UTC of a sample of a stream that began at `start_unix_ns`, with its anchors, oldest first."""
    for anchor in reversed(anchors):
        if sample >= anchor.from_sample:
            slowed_ns = anchor.from_unix_ns + (sample - anchor.from_sample) * SECOND_NS // (2 * rate_hz)
            return max(anchor.start_unix_ns + sample * SECOND_NS // rate_hz, slowed_ns)
    return start_unix_ns + sample * SECOND_NS // rate_hz


def add_anchor(
    anchors: tuple[Anchor, ...], from_sample: int, rate_hz: int, start_unix_ns: int, now_start_unix_ns: int
) -> tuple[Anchor, ...]:
    """Return the anchors and a new one, which gives UTC `now_start_unix_ns` to sample 0 from `from_sample` on."""
    from_unix_ns = sample_unix_ns(from_sample, rate_hz, start_unix_ns, anchors)
    return (*anchors[1 - KEPT_ANCHORS :], Anchor(from_sample, from_unix_ns, now_start_unix_ns))
