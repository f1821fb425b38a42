"""Reused frames equal frames of separately computed windows within 1e-4 dB, for every division into blocks."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Block, Samples, read_only
from soundwatch.daemon.core.records.stream import Gap
from soundwatch.daemon.core.records.window import FeatureWindow, Window
from soundwatch.daemon.frontend import mel as stage
from soundwatch.daemon.frontend.mel import MelState, frame_power, interior_frames, mel, mel_db
from soundwatch.daemon.frontend.resample import ResampleState, resample
from soundwatch.daemon.frontend.window import WindowState, window
from soundwatch.daemon.pipeline.pipeline import FrontEndState, extract_features
from support.fakes import SMALL_SPEC

LIMIT_DB = 1e-4

# Overlapping and separate frames, windows that are no multiple of the hop, and a window that holds about one frame.
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
    """Return noise whose level varies by 60 dB."""
    rng = np.random.default_rng(seed)
    swell = 10 ** (3 * np.sin(np.arange(samples) / 900) - 3)
    sound: NDArray[np.float32] = (rng.normal(0, 0.3, (channels, samples)) * swell).astype(np.float32)
    return sound


def blocks_of(
    sound: NDArray[np.float32], rate_hz: int, cuts: list[int], lost: list[tuple[int, int]]
) -> list[Block | None]:
    """Cut the sound at these samples, drop the samples between each pair of `lost`, and append None."""
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
    """Return the windows of the window stage."""
    resampling, windowing, windows = ResampleState(), WindowState(), list[Window]()
    for block in blocks:
        resampling, pieces = resample(resampling, block, spec)
        for piece in pieces:
            windowing, full = window(windowing, piece, spec)
            windows += full
    return windows


def feature_windows_of(blocks: list[Block | None], spec: FeatureSpec) -> list[FeatureWindow]:
    """Return the feature windows of the daemon's signal path."""
    front_end_state, items = FrontEndState(), list[FeatureWindow | Gap]()
    for block in blocks:
        front_end_state, new = extract_features(front_end_state, block, spec)
        items += new
    return [item for item in items if isinstance(item, FeatureWindow)]


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
def test_streamed_windows_equal_separately_computed_windows(
    spec: FeatureSpec, seed: int, channels: int, rate_hz: int, total: int, cuts: list[int], losses: list[int]
) -> None:
    sound = noise(seed, channels, total)
    edges = sorted({edge % total for edge in losses})
    lost = list(zip(edges[::2], edges[1::2], strict=False))
    blocks = blocks_of(sound, rate_hz, cuts, lost)
    windows = windows_of(blocks, spec)
    streamed_windows = feature_windows_of(blocks, spec)
    assert len(streamed_windows) == len(windows)
    for streamed, separate in zip(streamed_windows, windows, strict=True):
        assert streamed.features.first_sample == separate.first_sample
        assert streamed.features.end_sample == separate.first_sample + separate.valid_samples
        assert streamed.features.complete is separate.complete
        assert streamed.features.mel_db.shape == spec.input_shape
        np.testing.assert_allclose(streamed.features.mel_db, mel_db(separate.samples, spec), rtol=0, atol=LIMIT_DB)


@pytest.mark.slow
@given(st.lists(st.integers(0, 10**6), max_size=12))
@settings(deadline=None)
def test_every_division_into_blocks_gives_bit_identical_features(cuts: list[int]) -> None:
    sound = noise(1, 1, 20_000)
    whole = feature_windows_of(blocks_of(sound, 11_025, [], []), SMALL_SPEC)
    divided = feature_windows_of(blocks_of(sound, 11_025, cuts, []), SMALL_SPEC)
    for expected, streamed in zip(whole, divided, strict=True):
        assert np.array_equal(expected.features.mel_db, streamed.features.mel_db)


@pytest.mark.slow
@given(st.lists(st.integers(1, 5), min_size=1, max_size=10))
@settings(deadline=None)
def test_skipped_windows_do_not_change_the_others(steps: list[int]) -> None:
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
    """Collect (C, T) of each array of frames whose spectra are computed, in order."""
    shapes: list[tuple[int, ...]] = []

    def counted(frames: Samples) -> NDArray[np.float32]:
        shapes.append(frames.shape[:2])
        return frame_power(frames)

    monkeypatch.setattr(stage, "frame_power", counted)
    return shapes


def test_a_frame_inside_the_window_is_computed_once(computed: list[tuple[int, ...]]) -> None:
    spec = SMALL_SPEC
    sound = noise(3, 1, spec.window_samples + 3 * spec.window_hop_samples)
    feature_windows_of(blocks_of(sound, spec.rate_hz, [], [])[:-1], spec)
    padded = spec.n_frames - len(interior_frames(spec))  # frames that reach into the reflect padding
    assert computed == [(1, spec.n_frames)] + [(1, spec.window_hop_frames + padded)] * 3


def test_mono_for_a_network_of_two_channels_is_computed_once(computed: list[tuple[int, ...]]) -> None:
    stereo = msgspec.structs.replace(SMALL_SPEC, channels=2)
    windows = feature_windows_of(blocks_of(noise(4, 1, 6_000), 8_000, [], []), stereo)
    assert {channels for channels, _ in computed} == {1}
    for streamed in windows:
        assert streamed.features.mel_db.shape == stereo.input_shape
        assert np.array_equal(*streamed.features.mel_db)
