"""Whether the sample clock still tells the wall clock's time, and where it has to be put if not: a reducer.

A stream's times are UTC of its sample 0 plus the samples since. That goes wrong in two ways. The wall clock is set:
then its distance from the steady clock changes, at once and exactly. Or the two run at different speeds, a microphone's
crystal by some tens of parts in a million: then deliveries come later and later for what they hold, or earlier and
earlier. They also come late by chance, so only the least late of ten seconds says anything, and only twice in a row.

Conventions: nanoseconds; sample numbers of the stream, lost ones counted. `shift_ns` is what later samples' times are
moved by. How late deliveries are at the start is taken to be their way to us, and right; but none comes before its
sound, as it seems where a radio sends its last seconds at once to whoever connects.
Does not: keep times in order where they would run back (`events/timeline.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from soundwatch.daemon.core.clock import ClockReading
from soundwatch.daemon.core.source import ClockCorrection

WINDOW_NS: Final = 10_000_000_000
STEP_NS: Final = 100_000_000
DRIFT_NS: Final = 250_000_000  # a delivery holds 100 ms, and which part of the driver's buffer it waits for may shift


@dataclass(frozen=True, slots=True)
class ClockSyncState:
    """What has been seen so far.

    Attributes:
        start_unix_ns: UTC of sample 0 as it holds now.
        ahead_ns: What the wall clock was ahead of the steady one when that was found.
        since_ns: When the running window began; None before its first delivery.
        least_ns: How late deliveries came for what they held, at least, in it.
        settled_ns: How late they come when nothing is wrong; None until the first window is over.
        off_ns: What the window before differed from that by, if it was too much; else 0.
    """

    start_unix_ns: int
    ahead_ns: int
    since_ns: int | None = None
    least_ns: int = 0
    settled_ns: int | None = None
    off_ns: int = 0


def sync_clock(
    state: ClockSyncState, end_sample: int, rate_hz: int, arrival_ns: int, now: ClockReading
) -> tuple[ClockSyncState, ClockCorrection | None]:
    """Take account of one delivery.

    Args:
        state: After the delivery before.
        end_sample: Number of the sample after its last.
        rate_hz: Of these samples.
        arrival_ns: When it came, by the steady clock.
        now: This moment, by both clocks.

    Returns:
        The state after it, and the new anchor if there has to be one.
    """
    set_ns = now.ahead_ns - state.ahead_ns
    if abs(set_ns) > STEP_NS:
        start_unix_ns = state.start_unix_ns + set_ns
        moved = replace(state, start_unix_ns=start_unix_ns, ahead_ns=now.ahead_ns)
        return moved, ClockCorrection("clock_step", set_ns, start_unix_ns)
    lag_ns = arrival_ns + state.ahead_ns - state.start_unix_ns - end_sample * 1_000_000_000 // rate_hz
    if state.since_ns is None:
        return replace(state, since_ns=arrival_ns, least_ns=lag_ns), None
    least_ns = min(state.least_ns, lag_ns)
    if arrival_ns - state.since_ns < WINDOW_NS:
        return replace(state, least_ns=least_ns), None
    settled_ns = max(0, least_ns) if state.settled_ns is None else state.settled_ns
    off_ns = least_ns - settled_ns
    state = replace(state, since_ns=arrival_ns, least_ns=lag_ns, settled_ns=settled_ns)
    if abs(off_ns) <= DRIFT_NS:
        return replace(state, off_ns=0), None
    if state.off_ns * off_ns <= 0 and least_ns > -DRIFT_NS:  # the first of this kind, and not impossible
        return replace(state, off_ns=off_ns), None
    shift_ns = min(off_ns, state.off_ns or off_ns, key=abs)
    start_unix_ns = state.start_unix_ns + shift_ns
    state = replace(state, start_unix_ns=start_unix_ns, least_ns=lag_ns - shift_ns, off_ns=0)
    return state, ClockCorrection("drift", shift_ns, start_unix_ns)


def reset_after_loss(state: ClockSyncState) -> ClockSyncState:
    """After a loss: the way to us may be another."""
    return replace(state, since_ns=None, settled_ns=None, off_ns=0)
