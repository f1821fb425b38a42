"""Corrections of the sample clock, and times without a correction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundwatch.daemon.capture.monitoring.clock_sync import (
    DRIFT_NS,
    STEP_NS,
    ClockSyncState,
    reset_after_loss,
    sync_clock,
)
from soundwatch.daemon.core.records.source import ClockCorrection
from soundwatch.daemon.core.time.clock import ClockReading

SECOND_NS = 1_000_000_000
MS = 1_000_000
UNIX_NS = 1_800_000_000 * SECOND_NS
RATE_HZ = 8000
BLOCK = 800
WAY_NS = 30 * MS


class TimedMicrophone:
    """A microphone whose blocks are timed.

    Args:
        speed: Of its clock against ours.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self.state = ClockSyncState(UNIX_NS, UNIX_NS)
        self.wall_ns = UNIX_NS
        self.blocks = 0
        self.lost_samples = 0
        self.found: list[ClockCorrection] = []

    def listen(self, seconds: float, late_ns: int = 0) -> list[ClockCorrection]:
        found = []
        for _ in range(round(seconds * 10)):
            self.blocks += 1
            arrival_ns = round(self.blocks * SECOND_NS / 10 / self.speed) + WAY_NS + late_ns
            now = ClockReading(arrival_ns + MS, arrival_ns + MS + self.wall_ns)
            end_sample = self.blocks * BLOCK - self.lost_samples
            self.state, correction = sync_clock(self.state, end_sample, RATE_HZ, arrival_ns, now)
            found += [correction] if correction else []
        return found

    @property
    def wrong_ns(self) -> int:
        """Present error of the sample clock."""
        true_ns = round(self.blocks * SECOND_NS / 10 / self.speed) + self.wall_ns
        samples = self.blocks * BLOCK - self.lost_samples
        return self.state.start_unix_ns + samples * SECOND_NS // RATE_HZ - true_ns


@pytest.mark.parametrize("step_ns", [3600 * SECOND_NS, -3600 * SECOND_NS, 101 * MS, -101 * MS])
def test_a_clock_that_is_set_is_followed_at_the_next_delivery_and_exactly(step_ns: int) -> None:
    microphone = TimedMicrophone()
    assert microphone.listen(60) == []
    microphone.wall_ns += step_ns
    assert microphone.listen(0.1) == [ClockCorrection("clock_step", step_ns, UNIX_NS + step_ns)]
    assert microphone.listen(60) == []
    assert microphone.wrong_ns == 0


def test_a_clock_that_is_put_right_by_less_than_the_bound_is_left_alone() -> None:
    microphone = TimedMicrophone()
    microphone.listen(30)
    microphone.wall_ns += STEP_NS
    assert microphone.listen(60) == []


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [-500, -50, 50, 500])
def test_a_microphone_that_drifts_is_never_off_by_much_more_than_the_bound(ppm: int) -> None:
    microphone, found = TimedMicrophone(1 + ppm / 1e6), []
    for _ in range(3 * 60):
        found += microphone.listen(60)
        assert abs(microphone.wrong_ns) < DRIFT_NS + 30 * SECOND_NS * abs(ppm) // 1_000_000
    assert {correction.reason for correction in found} == {"drift"}
    drifted_ns = -3 * 3600 * SECOND_NS * ppm / 1e6
    assert sum(correction.shift_ns for correction in found) == pytest.approx(drifted_ns, abs=1.1 * DRIFT_NS)


def test_sound_with_an_early_time_is_corrected() -> None:
    microphone = TimedMicrophone()
    microphone.state = ClockSyncState(UNIX_NS + 10 * SECOND_NS, UNIX_NS)  # a radio's first ten seconds came at once
    [correction] = microphone.listen(40)
    assert (correction.reason, correction.shift_ns) == ("drift", -10 * SECOND_NS + WAY_NS)


@pytest.mark.slow
@given(st.lists(st.integers(0, 9 * SECOND_NS), min_size=60, max_size=60), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_a_busy_machine_moves_nothing(late_ns: list[int], random: np.random.Generator) -> None:
    """Late blocks cause no correction if one block in ten seconds is on time."""
    microphone = TimedMicrophone()
    for late in late_ns:
        for _ in range(9):
            assert microphone.listen(0.1, random.randint(0, max(1, late))) == []  # type: ignore[attr-defined]
        assert microphone.listen(0.1) == []


def test_the_way_to_us_may_be_another_after_a_loss() -> None:
    microphone = TimedMicrophone()
    microphone.listen(30)
    microphone.state, correction = reset_after_loss(microphone.state)
    assert correction is None
    assert microphone.listen(60, late_ns=400 * MS) == []


def test_a_source_that_sends_seconds_at_once_and_ends_is_corrected_at_its_loss() -> None:
    state = ClockSyncState(UNIX_NS, UNIX_NS)
    for block in range(1, 51):  # five seconds within half a second
        arrival_ns = block * 10 * MS
        now = ClockReading(arrival_ns, arrival_ns + UNIX_NS)
        state, correction = sync_clock(state, block * BLOCK, RATE_HZ, arrival_ns, now)
        assert correction is None
    state, correction = reset_after_loss(state)
    assert correction == ClockCorrection("drift", -4500 * MS, UNIX_NS - 4500 * MS)
    assert reset_after_loss(state) == (state, None)


def test_a_permanently_longer_delay_is_corrected_once() -> None:
    microphone = TimedMicrophone()
    microphone.listen(30)
    assert [correction.shift_ns for correction in microphone.listen(90, late_ns=400 * MS)] == [400 * MS]
