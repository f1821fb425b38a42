"""Pictures of clips: what they show, and that they go with their clips."""

from __future__ import annotations

import builtins
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from soundwatch.daemon.clips.clip_names import list_clips, list_pictures, picture_path
from soundwatch.daemon.clips.clip_store import AGES_NAME, AgeRecord, ClipStore, read_ages
from soundwatch.daemon.clips.picture import COLUMNS, INK, LEFT, ROWS, TOP, check_pillow, shades, spectrogram_png
from soundwatch.daemon.config.config import ClipsConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.time.clock import DAY_S
from support.clip_factory import clip

RATE_HZ = 16_000


def tone(hz: float, seconds: float = 1.0, channels: int = 1) -> Any:
    samples = 8000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
    return np.repeat(samples.astype(np.int16)[:, None], channels, axis=1)


def test_a_tone_is_a_line_at_its_frequency() -> None:
    rows = [int(shades(tone(hz), RATE_HZ)[:, COLUMNS // 2].argmax()) for hz in (250, 1000, 4000, 7900)]
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] < 5
    assert rows[1] == pytest.approx(ROWS * (1 - 940 / 2770), abs=6), "in mel, of 60 to 2840"


def test_a_short_sound_in_a_long_clip_is_not_lost() -> None:
    frames = np.zeros((60 * RATE_HZ, 2), np.int16)
    frames[30 * RATE_HZ : 30 * RATE_HZ + 160] = 20_000
    columns = shades(frames, RATE_HZ).max(axis=0)
    assert columns[COLUMNS // 2 - 1 : COLUMNS // 2 + 1].max() == INK
    assert columns[: COLUMNS // 2 - 2].max() == 0


@pytest.mark.parametrize(("samples", "rate_hz"), [(1, 8000), (160, 8000), (44_100, 44_100), (96_000, 192_000)])
def test_silence_and_sounds_of_any_length_and_rate_have_pictures(samples: int, rate_hz: int) -> None:
    silence = np.zeros((samples, 2), np.int16)
    assert shades(silence, rate_hz).max() == 0
    picture = Image.open(io.BytesIO(spectrogram_png(silence, rate_hz)))
    picture.load()
    assert (picture.format, picture.mode) == ("PNG", "P")


def test_the_picture_has_ticks_beside_the_spectrogram() -> None:
    png = spectrogram_png(tone(1000, 2.0), RATE_HZ)
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert (pixels[:, : LEFT - 8] > 200).any(), "labels of frequency"
    assert (pixels[TOP + ROWS + 8 :] > 200).any(), "labels of time"
    assert len(png) < 100_000


def test_a_picture_is_private_counts_as_its_clip_and_goes_with_it(tmp_path: Path) -> None:
    store = ClipStore(tmp_path, ClipsConfig())
    stored = store.save(clip())
    assert store.save_picture(stored, b"x" * 1000) == picture_path(stored.path).name
    assert picture_path(stored.path).stat().st_mode & 0o777 == 0o600
    assert [found.size_bytes for found in list_clips(tmp_path)] == [stored.size_bytes + 1000]
    store.trim()
    assert list_pictures(tmp_path) == {picture_path(stored.path)}
    stored.path.unlink()
    (tmp_path / "holiday.png").write_bytes(b"")
    store.trim()
    assert list_pictures(tmp_path) == set(), "its clip was removed by hand"
    assert (tmp_path / "holiday.png").exists()


def test_a_file_that_cannot_be_removed_stops_no_other_removal_and_no_record_of_ages(tmp_path: Path) -> None:
    now_ns = 0
    store = ClipStore(tmp_path, ClipsConfig(max_age_days=1), steady_ns=lambda: now_ns)
    old = store.save(clip())
    picture_path(old.path).mkdir()  # no file, so it cannot be unlinked
    picture_path(old.path.with_name(old.path.name.replace("siren", "alarm"))).mkdir()  # has no clip
    now_ns = round(2 * DAY_S * 1e9)
    with pytest.raises(OSError, match="directory"):
        store.trim()
    assert list_clips(tmp_path) == []
    assert read_ages(tmp_path).run_s == 2 * DAY_S


@pytest.mark.parametrize("content", [b"", b"{", b'{"ages": {"\xff": 1}}', b'{"x": ' + b"[" * 5000])
def test_a_damaged_record_of_ages_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / AGES_NAME).write_bytes(content)
    assert read_ages(tmp_path) == AgeRecord()


def test_a_clip_that_is_too_old_is_removed_with_its_picture(tmp_path: Path) -> None:
    now_ns = 0
    store = ClipStore(tmp_path, ClipsConfig(max_age_days=1), steady_ns=lambda: now_ns)
    store.save_picture(store.save(clip()), b"x")
    store.trim()
    now_ns = 2 * 86_400 * 10**9
    assert store.trim() == 1
    assert list_pictures(tmp_path) == set()


def test_without_pillow_the_configuration_is_refused_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = builtins.__import__

    def refuse(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("PIL"):
            raise ModuleNotFoundError(name)
        return load(name, *rest, **options)

    check_pillow()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"clips\.pictures needs the package Pillow.*\[?pictures"):
        check_pillow()
