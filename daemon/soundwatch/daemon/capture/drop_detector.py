"""Sound that vanished before it reached us, found by counting samples against the clock.

Sound servers drop samples without a word when a program is kept from reading (tried: PulseAudio, a stall
of 20 s lost 8 s and set no flag). Each delivery's lag is its time less that of its last sample. Deliveries
come late by chance, so only the least lag of two seconds says anything; when that has risen and stays, the
rise is sound that was lost.

Conventions: nanoseconds of the steady clock, so that what was missed while the machine slept is a loss too; samples
at the source's rate, known losses counted.
A rise of less than 150 ms is no loss yet: a delivery holds 100 ms, and which part of the driver's buffer it
waits for may shift by as much (seen: half of it, on a busy machine). Two clocks' drift of up to 1 in 1000 is
followed.
Does not: say where in the last four seconds the loss was, nor how long it was to less than a delivery.
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
    """What deliveries have shown so far.

    Attributes:
        since_ns: When the running window began; None before the first delivery.
        least_ns: The least lag in it.
        before_ns: The least lag of the window before.
        settled_ns: The lag at which nothing is missing.
    """

    since_ns: int | None = None
    least_ns: int = 0
    before_ns: int | None = None
    settled_ns: int = 0


def detect_drops(
    state: DropDetectorState, arrival_ns: int, end_sample: int, rate_hz: int
) -> tuple[DropDetectorState, int]:
    """Take account of one delivery.

    Args:
        state: After the delivery before.
        arrival_ns: When it came.
        end_sample: Number of the sample after its last.
        rate_hz: Of these samples.

    Returns:
        The state after it, and how many samples are now known to have been lost before it.
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
