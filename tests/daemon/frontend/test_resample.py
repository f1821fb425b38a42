"""Any source's rate and channels to the model's."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.daemon.core.records.channels import match_channels
from soundwatch.daemon.frontend.resample import ResampleState, coalesce_blocks, resample, resample_clip
from soundwatch.daemon.frontend.windowed_sinc import WindowedSincStream
from support.fakes import SMALL_SPEC

RATES_HZ = [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 192_000]


def spec_of(rate_hz: int, channels: int) -> FeatureSpec:
    return msgspec.structs.replace(
        SMALL_SPEC, rate_hz=rate_hz, channels=channels, window_ms=1000, mel_min_hz=0.0, mel_max_hz=rate_hz / 2
    )


def noise(channels: int, samples: int) -> NDArray[np.float32]:
    return np.random.default_rng(samples).uniform(-0.5, 0.5, (channels, samples)).astype(np.float32)


def blocks_of(signal: NDArray[np.float32], rate_hz: int, cuts: list[int], first_sample: int = 0) -> list[Block]:
    """The signal cut at these places, empty blocks included."""
    total = signal.shape[1]
    edges = [0, *sorted(cut % (total + 1) for cut in cuts), total]
    return [Block(read_only(signal[:, a:b].copy()), rate_hz, first_sample + a) for a, b in pairwise(edges)]


def resampled(blocks: list[Block], spec: FeatureSpec) -> list[Block]:
    """All that comes out, of which only the last may be None, and is."""
    state, given_back = ResampleState(), []
    for block in [*blocks, None]:
        state, pieces = resample(state, block, spec)
        given_back.extend(pieces)
    assert given_back.pop() is None
    assert all(piece is not None for piece in given_back)
    return [piece for piece in given_back if piece is not None]


def whole_of(blocks: list[Block]) -> NDArray[np.float32]:
    return np.concatenate([block.samples for block in blocks], axis=1)


cuts = st.lists(st.integers(0, 10**6), max_size=20)


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.sampled_from(RATES_HZ),
    st.sampled_from(RATES_HZ),
    st.integers(1, 6),
    st.integers(1, 2),
    st.integers(1, 9_000),
    cuts,
)
def test_any_way_of_cutting_gives_the_samples_of_the_whole_clip_bit_for_bit(
    rate_hz: int, wanted_hz: int, channels: int, wanted_channels: int, samples: int, cuts: list[int]
) -> None:
    signal, spec = noise(channels, samples), spec_of(wanted_hz, wanted_channels)
    whole = resample_clip(signal, rate_hz, spec)
    pieces = resampled(blocks_of(signal, rate_hz, cuts), spec)
    assert {piece.rate_hz for piece in pieces} <= {wanted_hz}
    assert {piece.samples.shape[0] for piece in pieces} <= {channels if channels == wanted_channels else 1}
    assert [piece.lost_samples for piece in pieces] == [0] * len(pieces)
    ends = np.cumsum([0, *(piece.samples.shape[1] for piece in pieces)])
    assert [piece.first_sample for piece in pieces] == list(ends[:-1])
    received = whole_of(pieces) if pieces else np.zeros_like(whole)
    np.testing.assert_array_equal(match_channels(received, wanted_channels), whole)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_sample_keeps_its_time(rate_hz: int) -> None:
    """A tone comes out with the phase that it has at each output sample's time."""
    spec = spec_of(22_050, 1)
    tone = np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz).astype(np.float32)[None]
    wanted = np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050)
    given_back = resample_clip(tone, rate_hz, spec)[0]
    assert len(given_back) == 22_050
    np.testing.assert_allclose(given_back[1000:-1000], wanted[1000:-1000], atol=1e-3)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 192_000])
def test_frequencies_above_the_models_limit_are_filtered_without_aliasing(rate_hz: int) -> None:
    tone = np.sin(2 * np.pi * 15_000 * np.arange(rate_hz) / rate_hz).astype(np.float32)[None]
    assert np.abs(resample_clip(tone, rate_hz, spec_of(22_050, 1))[:, 1000:-1000]).max() < 1e-4


def test_equal_rates_pass_samples_through_untouched() -> None:
    signal = noise(2, 5_000)
    np.testing.assert_array_equal(whole_of(resampled(blocks_of(signal, 22_050, [7, 900]), spec_of(22_050, 2))), signal)


def test_the_expected_number_of_channels_is_kept() -> None:
    signal = noise(2, 10)
    assert match_channels(signal, 2) is signal


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_any_other_number_is_averaged_and_the_mono_repeated(channels: int, wanted: int) -> None:
    signal = noise(channels, 10)
    matched = match_channels(signal, wanted)
    expected = signal if channels == wanted else np.repeat(signal.mean(axis=0, keepdims=True), wanted, axis=0)
    np.testing.assert_allclose(matched, expected, atol=1e-7)


def test_output_cannot_be_written_to() -> None:
    for piece in resampled(blocks_of(noise(1, 5_000), 48_000, [2_500]), spec_of(22_050, 2)):
        assert not piece.samples.flags.writeable


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.sampled_from(RATES_HZ),
    st.sampled_from(RATES_HZ),
    st.integers(1, 5_000),
    st.integers(1, 400_000),
    st.integers(100, 5_000),  # enough for at least one sample of the output
    cuts,
)
def test_a_loss_shifts_the_time_by_its_exact_duration(
    rate_hz: int, wanted_hz: int, before: int, lost: int, after: int, cuts: list[int]
) -> None:
    spec = spec_of(wanted_hz, 1)
    resumed = before + lost
    tail = blocks_of(noise(1, after), rate_hz, [], resumed)[0]
    tail = Block(tail.samples, rate_hz, resumed, lost_samples=lost)
    pieces = resampled([*blocks_of(noise(1, before), rate_hz, cuts), tail], spec)
    end = 0
    for piece in pieces:
        assert piece.first_sample == end + piece.lost_samples, "every sample is heard or counted as lost"
        end = piece.first_sample + piece.samples.shape[1]
    gaps = [piece for piece in pieces if piece.lost_samples]
    assert len(gaps) <= 1
    heard_again = resumed * wanted_hz // rate_hz
    if heard_again > -(-before * wanted_hz // rate_hz):  # what was lost is longer than the filter's last sample
        assert gaps[0].first_sample == heard_again
    assert abs(end - (resumed + after) * wanted_hz / rate_hz) < 2


def test_sound_after_a_loss_is_processed_like_a_new_start() -> None:
    """The filter is reset: sound before a gap does not affect sound after it."""
    spec, before, after = spec_of(22_050, 1), noise(1, 4_000), noise(1, 4_800)
    tail = Block(read_only(after), 48_000, 9_600, lost_samples=5_600)
    pieces = resampled([*blocks_of(before, 48_000, []), tail], spec)
    at = next(number for number, piece in enumerate(pieces) if piece.lost_samples)
    np.testing.assert_array_equal(whole_of(pieces[at:]), resample_clip(after, 48_000, spec))
    np.testing.assert_array_equal(whole_of(pieces[:at]), resample_clip(before, 48_000, spec))


def test_a_loss_before_the_first_sample_is_passed_on() -> None:
    block = Block(read_only(noise(1, 4_800)), 48_000, 96_000, lost_samples=96_000)
    pieces = resampled([block], spec_of(24_000, 1))
    assert (pieces[0].first_sample, pieces[0].lost_samples) == (48_000, 48_000)


def test_no_sound_gives_no_blocks() -> None:
    assert resampled([], spec_of(22_050, 1)) == []


def test_blocks_are_joined_but_not_across_a_loss() -> None:
    signal = noise(1, 3_200)
    first, second, third, last = blocks_of(signal, 8_000, [800, 1_600, 2_400])
    third = Block(third.samples, 8_000, 2_000, lost_samples=400)
    last = Block(last.samples, 8_000, 2_800)
    before, after = coalesce_blocks([first, second, third, last])
    assert (before.first_sample, before.lost_samples, before.samples.shape) == (0, 0, (1, 1_600))
    assert (after.first_sample, after.lost_samples, after.samples.shape) == (2_000, 400, (1, 1_600))
    assert coalesce_blocks([first]) == [first]
    assert not before.samples.flags.writeable


@pytest.mark.slow
@given(st.integers(1, 4), st.integers(1, 2), cuts)
@settings(deadline=None)
def test_joined_blocks_give_the_samples_of_the_blocks_bit_for_bit(channels: int, wanted: int, cuts: list[int]) -> None:
    spec, signal = spec_of(16_000, wanted), noise(channels, 5_000)
    blocks = blocks_of(signal, 48_000, cuts)
    np.testing.assert_array_equal(whole_of(resampled(coalesce_blocks(blocks), spec)), whole_of(resampled(blocks, spec)))


@pytest.mark.parametrize(("from_hz", "to_hz"), [(47_999, 16_000), (16_000, 47_999), (44_101, 22_050)])
def test_rates_whose_filter_would_take_gigabytes_are_refused(from_hz: int, to_hz: int) -> None:
    with pytest.raises(SourceError, match=r"greatest common divisor is 1; .* Convert the sound to a usual rate"):
        WindowedSincStream(from_hz, to_hz, 1)


@pytest.mark.parametrize("from_hz", [8000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_usual_rates_are_not_refused(from_hz: int) -> None:
    for to_hz in (16_000, 22_050, 44_100):
        WindowedSincStream(from_hz, to_hz, 1)
