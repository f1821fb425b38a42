"""UTC of a stream's samples, where the wall clock may be set and the microphone's may drift.

Conventions: samples at one rate; nanoseconds.
Rule: an anchor says what UTC sample 0 would have, and holds from one sample on; what is before keeps its time for good,
so that an event's onset reads the same in its start and in its end. Times never run back. Where an anchor is earlier
than the one before, samples get times half as far apart as they are until the anchor has caught up: after a clock that
was set back by an hour, that takes two.
Does not: know clocks (`capture/anchor.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SECOND_NS: Final = 1_000_000_000
KEPT_ANCHORS: Final = 256  # at most one in ten seconds drifts: more than an event's longest time at its default


@dataclass(frozen=True, slots=True)
class Anchor:
    """From where on what holds.

    Attributes:
        from_sample: The first sample that it holds for.
        from_unix_ns: UTC of that by the anchor before; none after it is earlier.
        start_unix_ns: UTC that sample 0 would have.
    """

    from_sample: int
    from_unix_ns: int
    start_unix_ns: int


def sample_unix_ns(sample: int, rate_hz: int, start_unix_ns: int, anchors: Sequence[Anchor]) -> int:
    """UTC of a sample, in a stream that began at `start_unix_ns` and was given these anchors, oldest first."""
    for anchor in reversed(anchors):
        if sample >= anchor.from_sample:
            slowed_ns = anchor.from_unix_ns + (sample - anchor.from_sample) * SECOND_NS // (2 * rate_hz)
            return max(anchor.start_unix_ns + sample * SECOND_NS // rate_hz, slowed_ns)
    return start_unix_ns + sample * SECOND_NS // rate_hz


def add_anchor(
    anchors: tuple[Anchor, ...], from_sample: int, rate_hz: int, start_unix_ns: int, now_start_unix_ns: int
) -> tuple[Anchor, ...]:
    """The anchors with one more, which puts sample 0 at `now_start_unix_ns` for what comes from `from_sample` on."""
    from_unix_ns = sample_unix_ns(from_sample, rate_hz, start_unix_ns, anchors)
    return (*anchors[1 - KEPT_ANCHORS :], Anchor(from_sample, from_unix_ns, now_start_unix_ns))
