from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.capture.monitoring.drop_detector import DropDetectorState, detect_drops

RATE_HZ = 48_000
BLOCK = 4_800
BLOCK_NS = 100_000_000


def losses(arrivals_ns: Iterable[int]) -> list[int]:
    """Return the detected losses for blocks of 100 ms with these arrival times."""
    state, end_sample, found = DropDetectorState(), 0, []
    for arrival_ns in arrivals_ns:
        end_sample += BLOCK
        state, lost_samples = detect_drops(state, arrival_ns, end_sample, RATE_HZ)
        end_sample += lost_samples
        found.append(lost_samples)
    return found


def on_time(count: int, late_ns: Callable[[int], int]) -> list[int]:
    return [number * BLOCK_NS + late_ns(number) for number in range(count)]


def test_deliveries_on_time_lose_nothing() -> None:
    assert sum(losses(on_time(1000, lambda _: 0))) == 0


@pytest.mark.slow
@given(st.lists(st.integers(0, 90_000_000), min_size=200, max_size=300))
def test_deliveries_that_are_late_by_chance_lose_nothing(late_ns: list[int]) -> None:
    assert sum(losses(on_time(len(late_ns), lambda number: late_ns[number] if number % 10 else 0))) == 0


@pytest.mark.parametrize("parts_per_million", [-5000, -200, 200, 900])
def test_two_clocks_that_drift_apart_lose_nothing(parts_per_million: int) -> None:
    assert sum(losses(on_time(36_000, lambda number: number * BLOCK_NS * parts_per_million // 1_000_000))) == 0


def test_a_stall_that_is_delivered_later_loses_no_sample() -> None:
    """No block arrives for ten seconds, then all of them in half the time."""
    backlog = on_time(
        600, lambda number: max(0, 10_000_000_000 - (number - 100) * BLOCK_NS // 2) if number > 100 else 0
    )
    assert sum(losses(backlog)) == 0


def test_a_growing_backlog_loses_no_line() -> None:
    assert sum(losses(on_time(400, lambda number: max(0, 20_000_000_000 - abs(number - 200) * 300_000_000)))) == 0


@pytest.mark.parametrize("lost_ns", [160_000_000, 1_000_000_000, 8_000_000_000])
def test_sound_that_vanishes_is_found_within_five_seconds_to_the_sample(lost_ns: int) -> None:
    found = losses(on_time(400, lambda number: lost_ns if number >= 100 else 0))
    assert sum(found) == lost_ns * RATE_HZ // 1_000_000_000
    assert sum(found[100:150]) == sum(found)


def test_a_shift_by_a_part_of_a_block_loses_no_sample() -> None:
    assert sum(losses(on_time(900, lambda number: 50_000_000 * (number // 300 % 2)))) == 0


def test_small_losses_add_up_until_they_are_detected() -> None:
    assert sum(losses(on_time(400, lambda number: 60_000_000 * min(number // 100, 3)))) > 0.8 * 0.18 * RATE_HZ


@pytest.mark.parametrize("delivered", [0.1, 0.3, 0.85, 0.95, 0.98])
def test_a_source_that_delivers_a_part_of_its_samples_loses_the_others(delivered: float) -> None:
    count = round(1000 * delivered)
    found = losses([round(number * BLOCK_NS / delivered) for number in range(count)])
    missing = (1 - delivered) * 100 * RATE_HZ
    assert missing - 20 * (1 - delivered) * RATE_HZ <= sum(found) <= missing


@pytest.mark.parametrize("delivered_hz", [44_100, 32_000, 16_000])
def test_a_source_with_another_usual_rate_loses_nothing(delivered_hz: int) -> None:
    assert sum(losses([number * BLOCK_NS * RATE_HZ // delivered_hz for number in range(600)])) == 0


def test_a_rise_that_ends_within_fifteen_seconds_loses_what_stays_away() -> None:
    found = losses(on_time(600, lambda number: min(max(0, number - 100), 100) * 20_000_000))
    assert [lost for lost in found if lost] == [2 * RATE_HZ]


def test_every_loss_is_found_once() -> None:
    found = losses(on_time(900, lambda number: 300_000_000 * (number // 300)))
    assert [lost for lost in found if lost] == [14_400, 14_400]


def test_a_loss_between_late_deliveries_is_found() -> None:
    found = losses(on_time(400, lambda number: (number % 7) * 5_000_000 + (500_000_000 if number >= 200 else 0)))
    assert sum(found) == 24_000
