"""Synchronization of the sample clock with the wall clock: a reducer over deliveries.

A stream's times are UTC of its sample 0 plus the samples since. There are two sources of error. The wall clock is set:
its offset from the monotonic clock changes at once. Or the two clocks run at different speeds, a microphone's
crystal by some tens of parts per million: the lag of deliveries rises or falls steadily. Deliveries are also delayed
at random, so only the minimum lag of ten seconds counts, and only if two periods in a row agree.

Conventions: nanoseconds; sample numbers of the stream, lost ones counted. `shift_ns` is added to the times of later
samples. The lag at the start is taken as the latency of the source. A negative lag is impossible, and means that a
radio sent its last seconds at once.
Does not: keep times in order where they would run backwards (`events/encoder.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from soundwatch.daemon.core.records.source import ClockCorrection
from soundwatch.daemon.core.time.clock import ClockReading

WINDOW_NS: Final = 10_000_000_000
STEP_NS: Final = 100_000_000
DRIFT_NS: Final = 250_000_000  # a delivery holds 100 ms, and its phase in the driver's buffer may shift


@dataclass(frozen=True, slots=True)
class ClockSyncState:
    """State between two deliveries.

    Attributes:
        start_unix_ns: UTC of sample 0, corrections included.
        ahead_ns: Offset of the wall clock from the monotonic clock.
        since_ns: Start of the current window; None before its first delivery.
        least_ns: Minimum lag in the current window.
        settled_ns: Lag without drift; None until the first window has ended.
        off_ns: Deviation of the previous window from that lag, if it was too large; else 0.
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
    """Update the state with one delivery.

    Args:
        state: State after the previous delivery.
        end_sample: Number of the sample after the delivery's last.
        rate_hz: Sampling rate.
        arrival_ns: Time of arrival by the monotonic clock.
        now: Current time by both clocks.

    Returns:
        The next state, and a correction if one is needed.
    """
    moved, step = follow_steps(state, now)
    if step is not None:
        return moved, step
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
    if state.off_ns * off_ns <= 0 and least_ns > -DRIFT_NS:  # the first deviation in this direction
        return replace(state, off_ns=off_ns), None
    shift_ns = min(off_ns, state.off_ns or off_ns, key=abs)
    start_unix_ns = state.start_unix_ns + shift_ns
    state = replace(state, start_unix_ns=start_unix_ns, least_ns=lag_ns - shift_ns, off_ns=0)
    return state, ClockCorrection("drift", shift_ns, start_unix_ns)


def follow_steps(state: ClockSyncState, now: ClockReading) -> tuple[ClockSyncState, ClockCorrection | None]:
    """Update the state with the current time alone, and return a correction if the wall clock was set."""
    set_ns = now.ahead_ns - state.ahead_ns
    if abs(set_ns) <= STEP_NS:
        return state, None
    start_unix_ns = state.start_unix_ns + set_ns
    moved = replace(state, start_unix_ns=start_unix_ns, ahead_ns=now.ahead_ns)
    return moved, ClockCorrection("clock_step", set_ns, start_unix_ns)


def reset_after_loss(state: ClockSyncState) -> tuple[ClockSyncState, ClockCorrection | None]:
    """Forget the lag after a loss, since the latency may have changed.

    A source that sent its sound at once and ended soon is corrected here, since no window has ended in its time.
    """
    reset = replace(state, since_ns=None, settled_ns=None, off_ns=0)
    if state.since_ns is None or state.least_ns >= -DRIFT_NS:
        return reset, None
    start_unix_ns = state.start_unix_ns + state.least_ns
    return replace(reset, start_unix_ns=start_unix_ns), ClockCorrection("drift", state.least_ns, start_unix_ns)
