"""The cache gives exactly the samples of the daemon's path."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.frontend.resample import resample_clip
from soundwatch.training.data.cache import cached, decode, fill_cache
from soundwatch.training.data.urbansound8k import Clip, split_by_folds
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.recipe_file import load_recipe

SPEC = load_recipe("tutorial").features


def _clip(path: Path, samples: np.ndarray, rate_hz: int, subtype: str = "FLOAT") -> Clip:
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return Clip(path, 1, 0, path.stem)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_cached_clip_is_the_daemons_resampling_to_the_last_bit(tmp_path: Path, channels: int) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, (4000, channels)).astype(np.float32)
    clip = _clip(tmp_path / "a.wav", sound, 16000)
    (tmp_path / "cache").mkdir()
    first = cached(clip, SPEC, tmp_path / "cache")
    again = cached(clip, SPEC, tmp_path / "cache")
    assert first.shape[0] == (2 if channels == 2 else 1)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(np.broadcast_to(again, (2, again.shape[1])), resample_clip(sound.T, 16000, SPEC))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT"])
def test_any_depth_decodes(tmp_path: Path, subtype: str) -> None:
    clip = _clip(tmp_path / "a.wav", np.full(800, 0.25, np.float32), 8000, subtype)
    assert abs(float(decode(clip.path, SPEC).max()) - 0.25) < 0.1


def test_a_changed_clip_is_decoded_again(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    before = cached(_clip(tmp_path / "a.wav", np.zeros(4000, np.float32), 44100), SPEC, tmp_path / "cache")
    after = cached(_clip(tmp_path / "a.wav", np.full(5000, 0.5, np.float32), 44100), SPEC, tmp_path / "cache")
    assert (before.shape, after.shape) == ((1, 4000), (1, 5000))


def test_a_cache_file_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    clip = _clip(tmp_path / "a.wav", np.full(4000, 0.5, np.float32), 44100)
    cached(clip, SPEC, folder)
    (file,) = folder.glob("*.npy")
    file.write_bytes(file.read_bytes()[:200])
    assert cached(clip, SPEC, folder).shape == (1, 4000)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"this is not audio", "is not a recording that can be read"), (None, "There is no file")],
)
def test_a_file_that_is_not_audio_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        decode(path, SPEC)


@pytest.mark.parametrize(
    ("value", "count", "message"),
    [(np.nan, 9, "is nan; numbers"), (1e30, 9, "is 1e\\+30; numbers"), (0.0, 0, "no sound")],
)
def test_a_clip_without_usable_samples_is_refused(tmp_path: Path, value: float, count: int, message: str) -> None:
    clip = _clip(tmp_path / "a.wav", np.full(count, value, np.float32), 8000)
    with pytest.raises(DataError, match=message):
        decode(clip.path, SPEC)


def test_filling_decodes_every_clip_once(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> None:
    clips = split_by_folds(tiny_data, None, ()).train
    for _ in range(2):
        fill_cache(clips, tiny_recipe.features, tmp_path / "cache", Console(file=io.StringIO()))
    assert len(list((tmp_path / "cache").iterdir())) == len(clips)


def test_an_unwritable_cache_is_refused_with_its_path_and_a_remedy(tmp_path: Path, tiny_data: Path) -> None:
    (tmp_path / "file").write_text("")
    clips = split_by_folds(tiny_data, None, ()).train
    with pytest.raises(DataError, match=r"cannot be written to .* XDG_CACHE_HOME"):
        fill_cache(clips, SPEC, tmp_path / "file", Console(file=io.StringIO()))
