"""Frames computed once against windows computed by themselves: alike to 1e-4 dB, however the sound comes."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.types import Block, FeatureWindow, Gap, Samples, Window, read_only
from soundwatch.daemon.frontend import mel as stage
from soundwatch.daemon.frontend.mel import MelState, frame_power, interior_frames, mel, mel_db
from soundwatch.daemon.frontend.resample import ResampleState, resample
from soundwatch.daemon.frontend.window import WindowState, window
from soundwatch.daemon.pipeline.pipeline import FrontEndState, extract_features
from support.fakes import SMALL_SPEC

LIMIT_DB = 1e-4

# Frames that overlap and frames that do not, a window that no hop divides, one with hardly a frame inside it.
specs = st.builds(
    lambda n_fft, hop_samples, window_ms, hop_share, channels, top_db: msgspec.structs.replace(
        SMALL_SPEC,
        n_fft=n_fft,
        hop_samples=hop_samples,
        window_ms=window_ms,
        window_hop_frames=max(1, int(hop_share * 8 * window_ms / hop_samples)),
        channels=channels,
        top_db=top_db,
    ),
    st.sampled_from([64, 200, 256, 512]),
    st.sampled_from([50, 100, 160, 256, 300]),
    st.sampled_from([65, 100, 375, 400]),
    st.floats(0.01, 1),
    st.sampled_from([1, 2]),
    st.sampled_from([80.0, 20.0, None]),
)


def noise(seed: int, channels: int, samples: int) -> NDArray[np.float32]:
    """Noise whose loudness changes by 60 dB on the way."""
    rng = np.random.default_rng(seed)
    swell = 10 ** (3 * np.sin(np.arange(samples) / 900) - 3)
    sound: NDArray[np.float32] = (rng.normal(0, 0.3, (channels, samples)) * swell).astype(np.float32)
    return sound


def blocks_of(
    sound: NDArray[np.float32], rate_hz: int, cuts: list[int], lost: list[tuple[int, int]]
) -> list[Block | None]:
    """The sound cut at these samples and without those between each pair of `lost`, then its end."""
    total = sound.shape[1]
    edges = sorted({0, total, *(cut % (total + 1) for cut in cuts), *(edge for pair in lost for edge in pair)})
    blocks: list[Block | None] = []
    missing = 0
    for first, end in pairwise(edges):
        if any(a <= first < b for a, b in lost):
            missing += end - first
            continue
        blocks.append(Block(read_only(sound[:, first:end].copy()), rate_hz, first, missing))
        missing = 0
    return [*blocks, None]


def windows_of(blocks: list[Block | None], spec: FeatureSpec) -> list[Window]:
    """What the window stage cuts."""
    resampling, windowing, windows = ResampleState(), WindowState(), list[Window]()
    for block in blocks:
        resampling, pieces = resample(resampling, block, spec)
        for piece in pieces:
            windowing, full = window(windowing, piece, spec)
            windows += full
    return windows


def heard_of(blocks: list[Block | None], spec: FeatureSpec) -> list[FeatureWindow]:
    """What the daemon's path gives."""
    front_end_state, heard = FrontEndState(), list[FeatureWindow | Gap]()
    for block in blocks:
        front_end_state, new = extract_features(front_end_state, block, spec)
        heard += new
    return [each for each in heard if isinstance(each, FeatureWindow)]


@pytest.mark.slow
@given(
    specs,
    st.integers(0, 100),
    st.sampled_from([1, 2]),
    st.sampled_from([8_000, 11_025]),
    st.integers(1, 16_000),
    st.lists(st.integers(0, 10**6), max_size=12),
    st.lists(st.integers(0, 10**6), min_size=0, max_size=4),
)
@settings(deadline=None, max_examples=150)
def test_streamed_and_by_itself_every_window_is_alike(
    spec: FeatureSpec, seed: int, channels: int, rate_hz: int, total: int, cuts: list[int], losses: list[int]
) -> None:
    sound = noise(seed, channels, total)
    edges = sorted({edge % total for edge in losses})
    lost = list(zip(edges[::2], edges[1::2], strict=False))
    blocks = blocks_of(sound, rate_hz, cuts, lost)
    windows = windows_of(blocks, spec)
    heard = heard_of(blocks, spec)
    assert len(heard) == len(windows)
    for each, by_itself in zip(heard, windows, strict=True):
        assert each.features.first_sample == by_itself.first_sample
        assert each.features.end_sample == by_itself.first_sample + by_itself.valid_samples
        assert each.features.complete is by_itself.complete
        assert each.features.mel_db.shape == spec.input_shape
        np.testing.assert_allclose(each.features.mel_db, mel_db(by_itself.samples, spec), rtol=0, atol=LIMIT_DB)


@pytest.mark.slow
@given(st.lists(st.integers(0, 10**6), max_size=12))
@settings(deadline=None)
def test_any_way_of_cutting_gives_the_same_features_to_the_bit(cuts: list[int]) -> None:
    sound = noise(1, 1, 20_000)
    whole = heard_of(blocks_of(sound, 11_025, [], []), SMALL_SPEC)
    for one, other in zip(whole, heard_of(blocks_of(sound, 11_025, cuts, []), SMALL_SPEC), strict=True):
        assert np.array_equal(one.features.mel_db, other.features.mel_db)


@pytest.mark.slow
@given(st.lists(st.integers(1, 5), min_size=1, max_size=10))
@settings(deadline=None)
def test_windows_that_are_passed_over_change_nothing_for_the_others(steps: list[int]) -> None:
    spec = SMALL_SPEC
    sound = noise(2, 1, spec.window_samples + 50 * spec.window_hop_samples)
    state = MelState()
    for number in np.cumsum(steps).tolist():
        first = number * spec.window_hop_samples
        samples = sound[:, first : first + spec.window_samples]
        state, features = mel(state, Window(samples, first, spec.window_samples, complete=True), spec)
        np.testing.assert_allclose(features.mel_db, mel_db(samples, spec), rtol=0, atol=LIMIT_DB)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """(C, T) of the frames whose spectra are computed, in order."""
    shapes: list[tuple[int, ...]] = []

    def counted(frames: Samples) -> NDArray[np.float32]:
        shapes.append(frames.shape[:2])
        return frame_power(frames)

    monkeypatch.setattr(stage, "frame_power", counted)
    return shapes


def test_a_frame_inside_the_window_is_computed_once(computed: list[tuple[int, ...]]) -> None:
    spec = SMALL_SPEC
    sound = noise(3, 1, spec.window_samples + 3 * spec.window_hop_samples)
    heard_of(blocks_of(sound, spec.rate_hz, [], [])[:-1], spec)
    own = spec.n_frames - len(interior_frames(spec))  # those that see the window mirrored
    assert computed == [(1, spec.n_frames)] + [(1, spec.window_hop_frames + own)] * 3


def test_mono_for_a_network_of_two_channels_is_computed_once(computed: list[tuple[int, ...]]) -> None:
    stereo = msgspec.structs.replace(SMALL_SPEC, channels=2)
    heard = heard_of(blocks_of(noise(4, 1, 6_000), 8_000, [], []), stereo)
    assert {channels for channels, _ in computed} == {1}
    for each in heard:
        assert each.features.mel_db.shape == stereo.input_shape
        assert np.array_equal(*each.features.mel_db)
