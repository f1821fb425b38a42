"""The cache gives the samples of the daemon's path to half a step of 16 bits, and stays within its limit."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.frontend.resample import resample_clip
from soundwatch.training.data.datasets.urbansound8k import Clip, split_by_folds
from soundwatch.training.data.windows.cache import ClipCache, decode, evict
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.recipe_file import load_recipe

SPEC = load_recipe("tutorial").features


def _clip(path: Path, samples: np.ndarray, rate_hz: int, subtype: str = "FLOAT") -> Clip:
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return Clip(path, 1, 0, path.stem)


def _cache(tmp_path: Path) -> ClipCache:
    (tmp_path / "cache").mkdir(exist_ok=True)
    return ClipCache(SPEC, tmp_path / "cache")


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("level", [1e-4, 0.1, 2.0])
def test_a_cached_clip_is_the_daemons_resampling_to_half_a_step(tmp_path: Path, channels: int, level: float) -> None:
    sound = np.random.default_rng(0).normal(0, level, (4000, channels)).astype(np.float32)
    clip = _clip(tmp_path / "a.wav", sound, 16000)
    first = _cache(tmp_path)(clip)
    again = _cache(tmp_path)(clip)
    assert first.shape[0] == (2 if channels == 2 else 1)
    np.testing.assert_array_equal(first, again)
    wanted = resample_clip(sound.T, 16000, SPEC)
    np.testing.assert_allclose(
        np.broadcast_to(again, (2, again.shape[1])), wanted, rtol=0, atol=np.abs(wanted).max() / 32767
    )


@pytest.mark.parametrize("numbers", [[0, 1, -1, 32767, -32768], [0, 3, -4], [0, 0], [-32768], [16384, -16384]])
def test_a_recording_of_16_bits_at_the_rate_is_cached_exactly(tmp_path: Path, numbers: list[int]) -> None:
    soundfile.write(tmp_path / "a.wav", np.array(numbers, np.int16), 44100, subtype="PCM_16")
    clip = Clip(tmp_path / "a.wav", 1, 0, "a")
    assert (_cache(tmp_path)(clip)[0] * 32768).tolist() == numbers


def test_the_cache_takes_two_bytes_a_sample(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    clip = _clip(tmp_path / "a.wav", np.zeros((5000, 2), np.float32), 44100)
    assert cache.stored(clip).samples.shape == (2, 5000)
    assert cache.file(clip).stat().st_size == 32 + 5000 * 2 * 2


def test_clips_with_the_oldest_use_are_removed_above_the_limit(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.pcm").write_bytes(bytes(1_000_000))
        os.utime(folder / f"{number}.pcm", (number, number))
    assert evict(folder, set(), 5) == (0, 0)
    assert evict(folder, {folder / "0.pcm"}, 3) == (2, 2)
    assert sorted(path.name for path in folder.iterdir()) == ["0.pcm", "3.pcm", "4.pcm"]


def test_a_removed_clip_is_decoded_again(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    clip = _clip(tmp_path / "a.wav", np.full(4000, 0.5, np.float32), 44100)
    before = cache(clip)
    cache.file(clip).unlink()
    np.testing.assert_array_equal(cache(clip), before)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT"])
def test_any_depth_decodes(tmp_path: Path, subtype: str) -> None:
    clip = _clip(tmp_path / "a.wav", np.full(800, 0.25, np.float32), 8000, subtype)
    assert abs(float(decode(clip.path, SPEC).max()) - 0.25) < 0.1


def test_a_changed_clip_is_decoded_again(tmp_path: Path) -> None:
    before = _cache(tmp_path)(_clip(tmp_path / "a.wav", np.zeros(4000, np.float32), 44100))
    after = _cache(tmp_path)(_clip(tmp_path / "a.wav", np.full(5000, 0.5, np.float32), 44100))
    assert (before.shape, after.shape) == ((1, 4000), (1, 5000))


def test_a_cache_file_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    clip = _clip(tmp_path / "a.wav", np.full(4000, 0.5, np.float32), 44100)
    cache(clip)
    for kept_bytes in (0, 20, 200):
        cache.file(clip).write_bytes(cache.file(clip).read_bytes()[:kept_bytes])
        assert cache(clip).shape == (1, 4000)


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
        ClipCache(tiny_recipe.features, tmp_path / "cache").fill(clips, Console(file=io.StringIO()))
    assert len(list((tmp_path / "cache").iterdir())) == len(clips)


def test_an_unwritable_cache_is_refused_with_its_path_and_a_remedy(tmp_path: Path, tiny_data: Path) -> None:
    (tmp_path / "file").write_text("")
    clips = split_by_folds(tiny_data, None, ()).train
    with pytest.raises(DataError, match=r"cannot be written to .* XDG_CACHE_HOME"):
        ClipCache(SPEC, tmp_path / "file").fill(clips, Console(file=io.StringIO()))


def test_what_is_found_about_decoded_files_is_printed_once(tmp_path: Path) -> None:
    clips = []
    for number in range(12):
        clip = _clip(tmp_path / f"{number:02}.wav", np.full(4_000, 0.1, np.float32), 44_100, "PCM_16")
        content = bytearray(clip.path.read_bytes())
        content[40:44] = bytes(4)
        clip.path.write_bytes(content)
        clips.append(clip)
    cache, text = _cache(tmp_path), io.StringIO()
    for _ in range(2):
        cache.fill(clips, Console(file=text, width=80))
    lines = [line for line in text.getvalue().splitlines() if line.startswith("soundwatch: ")]
    assert f"soundwatch: {clips[0].path}: it is longer than its header declares: 0.000 s are declared" in lines[0]
    assert lines[10:] == ["soundwatch: 2 more such files; `soundwatch data check` lists all."]
