"""Training reads recordings with the daemon's reader, block by block."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture.recordings.recording import BLOCK_MS
from soundwatch.daemon.core.errors import DataError
from soundwatch.training.data.audio.read_audio import measure_duration_s, read_recording, resampled_blocks
from soundwatch.training.data.datasets.class_folders import split_folders
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.cache import ClipCache, decode
from soundwatch.training.model.recipe_file import load_recipe

SPEC = load_recipe("tutorial").features
NOISE = np.random.default_rng(0).normal(0, 0.1, (48_000 * 3, 2)).astype(np.float32)


def test_a_long_recording_is_cached_in_blocks(tmp_path: Path) -> None:
    """No block is longer than the reader's, however long the recording is."""
    soundfile.write(tmp_path / "a.wav", NOISE, 48_000)
    longest = max(block.shape[1] for block in resampled_blocks(tmp_path / "a.wav", SPEC))
    assert longest <= 1.1 * SPEC.rate_hz * BLOCK_MS["fast"] / 1000


@pytest.mark.parametrize("windows", [1, 9])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_cached_recording_is_the_decoded_one(tmp_path: Path, channels: int, windows: int) -> None:
    soundfile.write(tmp_path / "a.wav", NOISE[:, :channels], 48_000)
    spec = msgspec.structs.replace(SPEC, channels=2)
    (tmp_path / "cache").mkdir()
    clip = Clip(tmp_path / "a.wav", 0, 0, "a", windows)
    decoded = decode(clip.path, spec)
    assert decoded.shape[0] == channels
    for _ in range(2):
        np.testing.assert_allclose(ClipCache(spec, tmp_path / "cache")(clip), decoded, rtol=0, atol=2**-15)


def test_one_sample_can_be_trained_on(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", NOISE[:1, 0], 48_000)
    (tmp_path / "cache").mkdir()
    clip = Clip(tmp_path / "a.wav", 0, 0, "a")
    assert ClipCache(SPEC, tmp_path / "cache")(clip).shape == decode(clip.path, SPEC).shape == (1, 1)


def test_a_truncated_recording_is_refused_and_leaves_no_cache(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", NOISE, 48_000)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:100_000])
    (tmp_path / "cache").mkdir()
    with pytest.raises(DataError, match=r"a\.wav is truncated or damaged: .* `soundwatch data check` lists all such"):
        ClipCache(SPEC, tmp_path / "cache")(Clip(tmp_path / "a.wav", 0, 0, "a"))
    assert not [*(tmp_path / "cache").iterdir()]


def test_the_windows_of_an_epoch_follow_from_the_sound_that_is_there(tmp_path: Path) -> None:
    """A killed recorder's header, and one that declares nothing, hide no window."""
    for name in ("stale-1.wav", "unknown-1.mp3", "other-1.wav", "last-1.wav"):
        path = tmp_path / "bell" / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.tile(NOISE[:, 0], 5), 48_000)
    content = bytearray((tmp_path / "bell" / "stale-1.wav").read_bytes())
    content[40:44] = bytes(4)
    (tmp_path / "bell" / "stale-1.wav").write_bytes(content)
    shutil.copytree(tmp_path / "bell", tmp_path / "door")
    split = split_folders(tmp_path, SPEC, 0)
    assert {clip.windows for clip in split.train} == {15_000 // SPEC.window_ms}


def test_a_length_is_measured_where_none_is_declared(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", NOISE, 48_000)
    (tmp_path / "a.ogg").write_bytes(2 * (tmp_path / "a.ogg").read_bytes())
    assert measure_duration_s(tmp_path / "a.ogg", 60) == pytest.approx(6.0, abs=0.01)
    assert measure_duration_s(tmp_path / "a.ogg", 1) == pytest.approx(1.0, abs=0.3)
    assert read_recording(tmp_path / "a.ogg")[0].shape == (2, 2 * len(NOISE))
