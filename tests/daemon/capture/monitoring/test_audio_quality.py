"""Faults of a microphone's sound, detected for all block sizes; and sound without faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundwatch.daemon.capture.monitoring.audio_quality import CLEAN_PERIODS, QualityState, update_quality
from soundwatch.daemon.capture.monitoring.monitor import MonitoredSource
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.channels import ChannelSelection
from soundwatch.daemon.core.records.source import AudioQuality, SourceInfo, SourceStateChange
from soundwatch.daemon.core.time.clock import ClockReading

RATE_HZ = 1000
PERIOD = 10 * RATE_HZ
Sound = NDArray[np.float32]


def street(periods: float = 1.0, level: float = 0.01, channels: int = 2) -> Sound:
    noise = np.random.default_rng(3).standard_normal((channels, round(periods * PERIOD)))
    return (level * noise).astype(np.float32)


def reports_of(sound: Sound, cuts: list[int] | None = None, speed: float = 1.0) -> list[AudioQuality]:
    """Return the changed quality reports of a sound that is delivered in blocks."""
    places = [0, *sorted(cut for cut in cuts if cut < sound.shape[1]), sound.shape[1]] if cuts else None
    places = places or [*range(0, sound.shape[1], 100), sound.shape[1]]
    state, reports = QualityState(), []
    for first, end in pairwise(places):
        block = Block(sound[:, first:end], RATE_HZ, first)
        state, found = update_quality(state, block, None if cuts else round(end * 1e9 / RATE_HZ / speed))
        reports += [quality for quality in found if quality.changed]
    return reports


def faults(sound: Sound) -> tuple[str, ...]:
    reports = reports_of(sound)
    return reports[-1].faults if reports else ()


def clipped(sound: Sound) -> Sound:
    return np.clip(200 * sound, -1, 1)


def one_dead(sound: Sound) -> Sound:
    return sound * np.array([[1], [0]], np.float32)


def holed(sound: Sound) -> Sound:
    """Replace 200 ms by zeros, as a driver does for lost samples."""
    return np.concatenate([sound[:, :4900], 0 * sound[:, 4900:5100], sound[:, 5100:]], axis=1)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda sound: sound, ()),
        (lambda sound: 0 * sound, ("silent",)),
        (lambda sound: 1e-3 * sound, ("quiet",)),
        (one_dead, ("dead_channel",)),
        (lambda sound: sound + np.float32(0.05), ("dc_offset",)),
        (lambda sound: sound - np.float32(0.05), ("dc_offset",)),
        (clipped, ("clipping",)),
        (lambda sound: np.concatenate([sound[:1], -sound[:1]]), ("opposite_channels",)),
        (lambda sound: np.concatenate([sound[:1], -0.95 * sound[:1]]), ("opposite_channels",)),
        (lambda sound: np.concatenate([sound[:1], 0.01 * sound[1:] - sound[:1]]), ("opposite_channels",)),
        (lambda sound: np.concatenate([sound[:1], -sound[:1]]) + np.float32(0.01), ("opposite_channels",)),
        (lambda sound: np.concatenate([sound[:1], sound[:1]]), ()),
        (lambda sound: np.concatenate([sound[:1], -0.3 * sound[:1]]), ()),
        (lambda sound: np.concatenate([sound, -sound]), ("opposite_channels",)),
        (lambda sound: np.concatenate([sound, street(channels=14)]), ()),
        (holed, ("zeros",)),
        (lambda sound: sound[:1], ()),
    ],
)
def test_each_fault_is_found_and_a_good_microphone_has_none(
    spoil: Callable[[Sound], Sound], found: tuple[str, ...]
) -> None:
    assert faults(spoil(street())) == found


def test_a_slammed_door_is_no_clipping() -> None:
    sound = street()
    sound[:, 5000:5005] = 1.0
    assert faults(sound) == ()


def test_the_numbers_are_those_of_the_sound() -> None:
    sound = np.zeros((2, PERIOD), np.float32)
    sound[:, :5000] = 0.1
    [quality] = reports_of(sound)
    assert quality.faults == ("dc_offset", "zeros")
    assert quality.longest_zero_run_ms == 5000
    assert quality.level_dbfs == pytest.approx(-23.01, abs=0.01)
    assert quality.floor_dbfs is None, "half of it is digital silence"
    assert (quality.peak, quality.dc_offset) == pytest.approx((0.1, 0.05))
    assert quality.same_channels


def test_a_fault_is_reported_once_and_its_end_after_a_clean_period() -> None:
    good, bad = street(), 0 * street()
    reports = reports_of(np.concatenate([bad, bad, good, bad, *[good] * CLEAN_PERIODS, good], axis=1))
    assert [quality.faults for quality in reports] == [("silent",), ()]


@pytest.mark.parametrize(("speed", "off"), [(0.99, True), (0.9975, False), (1.0, False), (1.0025, False), (1.01, True)])
def test_a_rate_that_is_not_the_one_promised_is_found_within_two_minutes(speed: float, off: bool) -> None:
    reports = reports_of(street(12), speed=speed)
    assert ("rate" in (fault for quality in reports for fault in quality.faults)) == off
    if off:
        assert reports[-1].measured_hz == pytest.approx(speed * RATE_HZ, rel=0.003)


@pytest.mark.slow
@given(st.lists(st.integers(0, 9_000_000_000), min_size=1200, max_size=1200))
@settings(max_examples=8, deadline=None)
def test_a_machine_that_is_busy_for_seconds_does_not_take_its_microphone_for_slow(late_ns: list[int]) -> None:
    state, reports, now_ns = QualityState(), [], 0
    for number in range(1200):
        due_ns = (number + 1) * 100_000_000
        now_ns = max(now_ns, due_ns + late_ns[number] if number % 97 == 0 else due_ns)
        state, found = update_quality(state, Block(street(0.01), RATE_HZ, 100 * number), now_ns)
        reports += [fault for quality in found for fault in quality.faults if fault != "stalls"]
    assert reports == []
    assert state.measured_hz == pytest.approx(RATE_HZ, rel=1e-3)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 3 * PERIOD - 1), min_size=1, max_size=60),
    st.sampled_from([clipped, one_dead, holed, lambda sound: 0 * sound]),
)
def test_any_way_of_cutting_the_sound_finds_the_same(cuts: list[int], spoil: Callable[[Sound], Sound]) -> None:
    sound = street(3)
    sound[:, PERIOD : 2 * PERIOD] = spoil(sound[:, PERIOD : 2 * PERIOD])
    whole, cut = reports_of(sound), reports_of(sound, cuts)
    assert [quality.faults for quality in whole] == [quality.faults for quality in cut]
    for one, other in zip(whole, cut, strict=True):
        for number in ("peak", "clipped_share", "same_channels", "longest_zero_run_ms"):
            assert getattr(one, number) == getattr(other, number)
        assert one.dc_offset == pytest.approx(other.dc_offset, abs=1e-12)


def test_a_minute_without_a_quiet_second_is_reported() -> None:
    assert faults(street(5, level=0.3)) == ()
    assert faults(street(6, level=0.3)) == ("noisy",)


def test_a_second_without_blocks_is_reported() -> None:
    state, reports = QualityState(), []
    for number in range(100):
        late_ns = 900_000_000 if number == 50 else 0
        state, found = update_quality(state, Block(street(0.01), RATE_HZ, 100 * number), number * 100_000_000 + late_ns)
        reports += found
    [quality] = reports
    assert (quality.faults, quality.longest_gap_ms) == (("stalls",), 1000)


@pytest.mark.parametrize(("late_ns", "faults_found"), [(0, ()), (1_000_000_000, ("stalls",))])
def test_sound_that_is_gathered_for_a_second_is_no_stall(late_ns: int, faults_found: tuple[str, ...]) -> None:
    state, reports = QualityState(), []
    for number in range(10):
        arrival_ns = number * 1_000_000_000 + (late_ns if number == 5 else 0)
        state, found = update_quality(state, Block(street(0.1), RATE_HZ, RATE_HZ * number), arrival_ns)
        reports += found
    assert [quality.faults for quality in reports] == [faults_found]


def test_equal_channels_are_reported_without_a_fault() -> None:
    two = street()
    same = np.repeat(two[:1], 2, axis=0)
    reports = reports_of(np.concatenate([two, two, same, same, two], axis=1))
    assert [(quality.faults, quality.same_channels) for quality in reports] == [((), True), ((), False)]
    reports = reports_of(np.concatenate([same, 0 * same, *[same] * CLEAN_PERIODS], axis=1))
    assert [quality.faults for quality in reports] == [("silent",), ()], "silence gives no report"


def test_a_source_with_backpressure_is_not_timed() -> None:
    state = QualityState()
    for number in range(700):
        state, found = update_quality(state, Block(street(0.01), RATE_HZ, 100 * number), None)
        assert all(not quality.changed for quality in found)
    assert state.measured_hz is None


@pytest.mark.parametrize(
    ("choice", "channels"), [("left", [0.1]), ("right", [0.8]), ("mix", [0.45]), ("pair", [0.1, 0.8])]
)
def test_the_selected_channel_of_a_quiet_and_a_loud_one_is_used(
    choice: ChannelSelection, channels: list[float]
) -> None:
    class QuietLeftLoudRight:
        info = SourceInfo("mic", "USB", RATE_HZ, 2)
        start_unix_ns = 0

        def blocks(self) -> Iterator[Block]:
            both = np.full((2, PERIOD), [[0.1], [0.8]], np.float32)
            yield Block(both, RATE_HZ, 0)

        def stop(self) -> None:
            pass

    block, quality = MonitoredSource(QuietLeftLoudRight(), choice).blocks()
    assert isinstance(block, Block)
    assert isinstance(quality, AudioQuality)
    np.testing.assert_allclose(block.samples[:, 0], channels, rtol=1e-6)
    assert quality.peak == pytest.approx(0.8 if choice == "mix" else max(channels)), "a mix is measured before it"


def test_channels_that_cancel_are_reported_before_they_are_mixed() -> None:
    class Opposite:
        info = SourceInfo("mic", "USB", RATE_HZ, 2)
        start_unix_ns = 0

        def blocks(self) -> Iterator[Block]:
            yield Block(street(channels=1) * np.array([[1], [-1]], np.float32), RATE_HZ, 0)

        def stop(self) -> None:
            pass

    for choice, found in (("mix", ("opposite_channels",)), (None, ("opposite_channels",)), ("left", ()), ("right", ())):
        *_, quality = MonitoredSource(Opposite(), choice).blocks()  # type: ignore[arg-type]
        assert isinstance(quality, AudioQuality)
        assert quality.faults == found


def test_a_source_is_checked_continuously_and_again_after_a_loss() -> None:
    class Flaps:
        info = SourceInfo("mic", "USB", RATE_HZ, 2)
        start_unix_ns = 7
        stopped = False

        def blocks(self) -> Iterator[Block | SourceStateChange]:
            for first in range(0, PERIOD - 100, 100):
                yield Block(np.zeros((2, 100), np.float32), RATE_HZ, first, 0, (first + 100) * 10**9 // RATE_HZ)
            yield SourceStateChange("lost", "ended", "Unplugged.")
            for first in range(2 * PERIOD, 3 * PERIOD, 100):
                yield Block(np.zeros((2, 100), np.float32), RATE_HZ, first, 0, (first + 100) * 10**9 // RATE_HZ)

        def stop(self) -> None:
            self.stopped = True

    source = Flaps()
    examined = MonitoredSource(source, now=lambda: ClockReading(0, 0))
    given = list(examined.blocks())
    assert [type(item).__name__ for item in given if not isinstance(item, Block)] == [
        "SourceStateChange",
        "AudioQuality",
    ]
    assert isinstance(given[-1], AudioQuality)
    assert (examined.info, examined.start_unix_ns) == (source.info, 7)
    examined.stop()
    assert source.stopped


@pytest.mark.parametrize(("later_hz", "kept"), [(RATE_HZ, True), (2 * RATE_HZ, False)])
def test_the_measured_rate_is_forgotten_where_a_source_comes_back_at_another_rate(later_hz: int, kept: bool) -> None:
    class Returns:
        info = SourceInfo("mic", "USB", RATE_HZ, 1)
        start_unix_ns = 0

        def blocks(self) -> Iterator[Block | SourceStateChange]:
            for second in range(61):
                yield Block(np.zeros((1, RATE_HZ), np.float32), RATE_HZ, second * RATE_HZ, 0, second * 10**9 + 1)
            yield SourceStateChange("lost", "ended", "Unplugged.")
            for second in range(100, 110):
                yield Block(np.zeros((1, later_hz), np.float32), later_hz, second * later_hz, 0, second * 10**9 + 1)

        def stop(self) -> None:
            pass

    *_, before, last = (
        item
        for item in MonitoredSource(Returns(), now=lambda: ClockReading(0, 0)).blocks()
        if isinstance(item, AudioQuality)
    )
    assert before.measured_hz == pytest.approx(RATE_HZ)
    assert last.measured_hz == (before.measured_hz if kept else None)
