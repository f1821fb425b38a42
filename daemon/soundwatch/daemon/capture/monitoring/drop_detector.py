"""Detection of unreported losses, by comparing sample counts with the monotonic clock: a reducer over deliveries.

Sound servers drop samples without a report when a program does not read in time (observed: PulseAudio, a stall
of 20 s lost 8 s and set no flag). A delivery's lag is its arrival time minus the time of its last sample. Deliveries
are delayed at random, so only the minimum lag of two seconds counts; a rise of this minimum that stays is lost sound,
and so is one that continues for `RISING_NS`: of a source that delivers a part of its samples (observed: 5 % of the
datagrams lost, a broken sender). A source whose samples come at another usual rate is not lossy but configured
wrongly, which `capture/monitoring/audio_quality.py` reports.

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
# Shorter than two windows of `capture/monitoring/clock_sync.py`, which corrects times.
RISING_NS: Final = 15_000_000_000
USUAL_RATES_HZ: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)
RATE_SHARE: Final = 0.01
DRIFT_NS: Final = 2_000_000  # of one window


@dataclass(frozen=True, slots=True)
class DropDetectorState:
    """State between two deliveries.

    Attributes:
        since_ns: Start of the current window; None before the first delivery.
        least_ns: Minimum lag in the current window.
        before_ns: Minimum lag in the previous window.
        settled_ns: Lag without losses.
        rising_since_ns: Start of the first window of a rise that continues; None without one.
        rising_from_ns: Minimum lag in that window.
    """

    since_ns: int | None = None
    least_ns: int = 0
    before_ns: int | None = None
    settled_ns: int = 0
    rising_since_ns: int | None = None
    rising_from_ns: int = 0

    def end_window(self, arrival_ns: int, lag_ns: int, least_ns: int) -> DropDetectorState:
        """Return the state after a window whose minimum lag was not steady."""
        since_ns, from_ns = self.since_ns, least_ns
        if self.before_ns is None or least_ns <= self.before_ns:
            since_ns = None
        elif self.rising_since_ns is not None:
            since_ns, from_ns = self.rising_since_ns, self.rising_from_ns
        return DropDetectorState(arrival_ns, lag_ns, least_ns, self.settled_ns, since_ns, from_ns)

    def delivers_too_few(self, least_ns: int, rate_hz: int) -> bool:
        """Return True if a rise has continued for so long that the source loses samples all the time.

        The minimum lag of a rise is that of the window's start.
        """
        if self.since_ns is None or self.rising_since_ns is None:
            return False
        risen_ns, passed_ns = least_ns - self.rising_from_ns, self.since_ns - self.rising_since_ns
        if risen_ns <= 0 or passed_ns < RISING_NS:
            return False
        delivered_hz = rate_hz * (1 - risen_ns / passed_ns)
        return all(abs(delivered_hz / usual_hz - 1) > RATE_SHARE for usual_hz in USUAL_RATES_HZ)


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
    steady = abs(least_ns - state.before_ns) <= STEADY_NS
    if not steady and not state.delivers_too_few(least_ns, rate_hz):  # a backlog is still building up or being read
        return state.end_window(arrival_ns, lag_ns, least_ns), 0
    risen_ns = least_ns - state.settled_ns
    if risen_ns <= LOSS_NS:
        return DropDetectorState(arrival_ns, lag_ns, least_ns, min(least_ns, state.settled_ns + DRIFT_NS)), 0
    lost_samples = risen_ns * rate_hz // 1_000_000_000
    return DropDetectorState(arrival_ns, lag_ns - risen_ns, state.settled_ns, state.settled_ns), lost_samples
