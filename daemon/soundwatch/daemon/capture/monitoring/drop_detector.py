"""Detection of unreported losses, by comparing sample counts with the monotonic clock: a reducer over deliveries.

Sound servers drop samples without a report when a program does not read in time (observed: PulseAudio, a stall
of 20 s lost 8 s and set no flag). A delivery's lag is its arrival time minus the time of its last sample. Deliveries
are delayed at random, so only the minimum lag of two seconds counts; a rise of this minimum that stays is lost sound.

Conventions: nanoseconds of the monotonic clock, suspended time included; samples at the source's rate, known losses
counted.
A rise of less than 150 ms is not a loss: a delivery holds 100 ms, and its phase in the driver's buffer may shift by as
much (observed: half of a delivery, on a busy machine). A clock drift of up to 1 in 1000 is followed.
Does not: locate the loss within the last four seconds, or measure it to less than a delivery.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

WINDOW_NS: Final = 2_000_000_000
STEADY_NS: Final = 20_000_000
LOSS_NS: Final = 150_000_000
DRIFT_NS: Final = 2_000_000  # of one window


@dataclass(frozen=True, slots=True)
class DropDetectorState:
    """State between two deliveries.

    Attributes:
        since_ns: Start of the current window; None before the first delivery.
        least_ns: Minimum lag in the current window.
        before_ns: Minimum lag in the previous window.
        settled_ns: Lag without losses.
    """

    since_ns: int | None = None
    least_ns: int = 0
    before_ns: int | None = None
    settled_ns: int = 0


def detect_drops(
    state: DropDetectorState, arrival_ns: int, end_sample: int, rate_hz: int
) -> tuple[DropDetectorState, int]:
    """Update the state with one delivery.

    Args:
        state: State after the previous delivery.
        arrival_ns: Time of arrival.
        end_sample: Number of the sample after the delivery's last.
        rate_hz: Sampling rate.

    Returns:
        The next state, and the number of samples found to be lost before the delivery.
    """
    lag_ns = arrival_ns - end_sample * 1_000_000_000 // rate_hz
    if state.since_ns is None:
        return DropDetectorState(arrival_ns, lag_ns), 0
    least_ns = min(state.least_ns, lag_ns)
    if arrival_ns - state.since_ns < WINDOW_NS:
        return replace(state, least_ns=least_ns), 0
    if state.before_ns is None:
        return DropDetectorState(arrival_ns, lag_ns, least_ns, least_ns), 0
    if abs(least_ns - state.before_ns) > STEADY_NS:  # a backlog is still building up or being read
        return DropDetectorState(arrival_ns, lag_ns, least_ns, state.settled_ns), 0
    risen_ns = least_ns - state.settled_ns
    if risen_ns <= LOSS_NS:
        return DropDetectorState(arrival_ns, lag_ns, least_ns, min(least_ns, state.settled_ns + DRIFT_NS)), 0
    lost_samples = risen_ns * rate_hz // 1_000_000_000
    return DropDetectorState(arrival_ns, lag_ns - risen_ns, state.settled_ns, state.settled_ns), lost_samples
