"""The clips' folder: names, modes, whole files, and what goes first."""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.clips.clip_names import StoredClip, file_name, filename_word, list_clips, parse_clip_name
from soundwatch.daemon.clips.clip_store import ClipStore, rank_best, select_expired
from soundwatch.daemon.config.config import ClipsConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.files.atomic_file import replace_bytes
from support.clip_factory import ID, clip

DAY_S = 86_400


class Steady:
    """A steady clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> int:
        return round(self.now_s * 1e9)


def ids() -> list[str]:
    return [f"{number:026d}" for number in range(100)]


def kept(second: int, score: float, class_word: str = "siren", size_bytes: int = 100) -> StoredClip:
    return StoredClip(Path(f"{second}-{class_word}"), f"2026{second:04d}", class_word, score, "", size_bytes)


def test_a_clip_is_complete_private_and_has_metadata(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "clips"
    put = ClipStore(folder, ClipsConfig()).save(clip(second=1))
    assert put.path.name == f"20260921T141321000Z-mic0-siren-0.9500-{ID}.flac"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(put.path.stat().st_mode) == 0o600
    assert put.path.stat().st_size == put.size_bytes
    samples, rate_hz = soundfile.read(put.path, dtype="int16", always_2d=True)
    assert rate_hz == 8000
    assert (samples == clip(second=1).excerpt.frames()).all()
    with soundfile.SoundFile(put.path) as file:
        assert (file.title, file.artist, file.comment) == ("siren", "mic0", ID)
    assert list_clips(folder) == [put]


@pytest.mark.slow
@given(st.text(max_size=80), st.text(max_size=80))
def test_every_source_and_class_gives_a_safe_and_readable_name(source: str, label: str) -> None:
    name = file_name(replace(clip(), source=source, label=label))
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert len(name) < 200
    assert not name.startswith(".")
    if source and label:
        assert parse_clip_name(Path(name), 0).id == ID


def test_similar_names_stay_different() -> None:
    assert filename_word("dog bark") != filename_word("dog_bark") != filename_word("dog/bark")
    assert filename_word("../../etc/passwd").startswith("______etc_passwd_")


def test_only_remains_of_a_killed_program_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".20260921T141321000Z-mic0-siren-0.9500-X.flac.part").write_bytes(b"half")
    (tmp_path / ".20260921T141321000Z-mic0-siren-0.9500-X.flac.4711.part").write_bytes(b"half")
    (tmp_path / "holiday.flac").write_bytes(b"mine")
    (tmp_path / ".hidden").write_bytes(b"mine")
    clock = Steady()
    opened = ClipStore(tmp_path, ClipsConfig(max_age_days=1e-9), clock)
    opened.save(clip())
    clock.now_s += 1
    opened.trim()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ages.json", ".hidden", "holiday.flac"]


def test_old_clips_of_every_class_are_removed(tmp_path: Path) -> None:
    clock = Steady()
    opened = ClipStore(tmp_path, ClipsConfig(max_age_days=2), clock)
    for day, id_ in zip(range(5), ids(), strict=False):
        clock.now_s = day * DAY_S
        opened.save(clip(second=day * DAY_S, score=0.99, id_=id_))
    clock.now_s = 4.5 * DAY_S
    assert opened.trim() == 3
    assert [item.id for item in sorted(list_clips(tmp_path), key=lambda item: item.stamp)] == ids()[3:5]


def test_the_age_counts_running_time_only(tmp_path: Path) -> None:
    clock, config = Steady(), ClipsConfig(max_age_days=2)
    first = ClipStore(tmp_path, config, clock)
    first.save(clip())
    clock.now_s = 1.5 * DAY_S
    assert first.trim() == 0
    later = Steady()  # another boot: the steady clock begins at another value
    second = ClipStore(tmp_path, config, later)
    later.now_s = 0.4 * DAY_S
    assert second.trim() == 0
    later.now_s = 0.6 * DAY_S
    assert second.trim() == 1


@pytest.mark.parametrize("year", [1970, 1999, 2027, 2106])
def test_a_start_with_a_wrong_clock_removes_no_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    ClipStore(tmp_path, ClipsConfig()).save(clip())
    now_s = time.time() + (year - 2026) * 365 * DAY_S
    monkeypatch.setattr(time, "time", lambda: now_s)
    monkeypatch.setattr(time, "time_ns", lambda: int(now_s * 1e9))
    ClipStore(tmp_path, ClipsConfig(max_age_days=1)).trim()
    assert len(list_clips(tmp_path)) == 1


@pytest.mark.parametrize("content", [b"", b"{", b'{"run_s": -1}', b'{"written_at_s": []}', b"\xff"])
def test_a_damaged_record_of_ages_removes_no_clip(tmp_path: Path, content: bytes) -> None:
    opened = ClipStore(tmp_path, ClipsConfig())
    opened.save(clip())
    opened.trim()
    (tmp_path / ".ages.json").write_bytes(content)
    assert ClipStore(tmp_path, ClipsConfig(max_age_days=1e-3)).trim() == 0
    assert len(list_clips(tmp_path)) == 1


def test_the_oldest_go_first_and_the_best_of_each_class_last() -> None:
    lying = [kept(1, 0.99), kept(2, 0.5), kept(3, 0.6), kept(4, 0.7), kept(5, 0.8, "dog"), kept(6, 0.4, "dog")]
    config = ClipsConfig(best_per_class=2, max_bytes=10_000_000)
    gone = [item.path.name for item in select_expired(lying, _limited(config, 0), set())]
    assert gone == ["2-siren", "3-siren", "6-dog", "4-siren", "5-dog", "1-siren"]
    assert select_expired(lying, _limited(config, 600), set()) == []
    assert [item.path.name for item in select_expired(lying, _limited(config, 450), set())] == ["2-siren", "3-siren"]


def _limited(config: ClipsConfig, max_bytes: int) -> Any:
    """Return a configuration with a limit below the minimum, so that tests stay small."""
    import msgspec

    return msgspec.structs.replace(config, max_bytes=max_bytes)


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 999), st.floats(0, 1), st.sampled_from("abc")), max_size=30),
    st.integers(0, 5),
    st.integers(0, 3000),
)
def test_remaining_clips_fit_the_limit_and_the_best_are_removed_last(
    drawn: list[tuple[int, float, str]], best: int, max_bytes: int
) -> None:
    lying = [
        replace(kept(second, score, class_word), path=Path(str(number)))
        for number, (second, score, class_word) in enumerate(drawn)
    ]
    going = select_expired(lying, _limited(ClipsConfig(best_per_class=best), max_bytes), set())
    left = [item for item in lying if item not in going]
    assert sum(item.size_bytes for item in left) <= max_bytes
    chosen = rank_best(lying, best)
    if set(chosen) & set(going):
        assert set(left) <= set(chosen)


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"clips.folder .*file/clips cannot be used: Not a directory"):
        ClipStore(tmp_path / "file" / "clips", ClipsConfig())


def test_a_folder_whose_name_is_not_utf8_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"clips.folder .*/x\\udcff is not UTF-8 at character \d+\. Rename"):
        ClipStore(tmp_path / "x\udcff", ClipsConfig())


class Disk:
    """A disk that has room for so many clips."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, most_clips: int) -> None:
        self.replace_bytes = replace_bytes
        self.folder, self.most_clips = folder, most_clips
        monkeypatch.setattr("soundwatch.daemon.clips.clip_store.replace_bytes", self)

    def __call__(self, path: Path, content: bytes, mode: int) -> None:
        if len(list_clips(self.folder)) >= self.most_clips:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.replace_bytes(path, content, mode)


def test_on_a_full_disk_an_old_clip_is_removed_but_none_of_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ClipStore(tmp_path, ClipsConfig(best_per_class=1))
    Disk(monkeypatch, tmp_path, 3)
    for second, score, id_ in [(1, 0.99, ids()[1]), (2, 0.5, ids()[2]), (3, 0.6, ids()[3]), (4, 0.5, ids()[4])]:
        opened.save(clip(4.0 / second, second=second, score=score, id_=id_))
    assert sorted(item.id for item in list_clips(tmp_path)) == [ids()[1], ids()[3], ids()[4]]


def test_a_full_disk_with_only_the_best_on_it_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = ClipStore(tmp_path, ClipsConfig(best_per_class=1))
    Disk(monkeypatch, tmp_path, 1)
    opened.save(clip(score=0.9))
    with pytest.raises(OSError, match="No space left"):
        opened.save(clip(score=0.5, second=1, id_=ids()[0]))
    assert [item.score for item in list_clips(tmp_path)] == [0.9]
    assert not list(tmp_path.glob(".*"))


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(_: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", no_more)
    with pytest.raises(OSError, match="broken"):
        ClipStore(tmp_path, ClipsConfig()).save(clip())
    assert list(tmp_path.iterdir()) == []
