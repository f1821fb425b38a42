"""Recordings under a folder are found once, with any name and behind links."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from soundwatch.daemon.capture.recordings.files import files_under
from soundwatch.daemon.capture.recordings.recording import Recording, recordings_in
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.scan.discover import find_recordings


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF")


def names(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in recordings_in(root).files]


def test_recordings_are_found_by_their_suffix_in_any_case_and_script(tmp_path: Path) -> None:
    nfd = unicodedata.normalize("NFD", "Türklingel.wav")
    write(
        *(tmp_path / name for name in ("REC.WAV", "a b.Mp3", nfd, "घंटी.flac", "voice.m4a", "notes.txt", ".hidden.wav"))
    )
    assert names(tmp_path) == sorted(["REC.WAV", "a b.Mp3", nfd, "घंटी.flac", "voice.m4a"])
    assert find_recordings([tmp_path]).other_files == 1


def test_subfolders_whose_names_begin_with_a_dot_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / ".recordings"  # named by the user
    write(root / "a.wav", root / ".Trash-1000" / "files" / "b.wav", root / "day" / ".stversions" / "c.wav")
    (root / ".link").symlink_to(root / "day")
    assert names(root) == ["a.wav"]
    assert [str(found.path.relative_to(root)) for found in find_recordings([root]).recordings] == names(root)


def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(root / "own" / "a.wav", outside / "deep" / "b.wav")
    (root / "link").symlink_to(outside)
    (root / "own" / "loop").symlink_to(root)
    (outside / "back").symlink_to(root / "own")
    (root / "gone").symlink_to(tmp_path / "nothing")
    assert names(root) == ["link/deep/b.wav", "own/a.wav"]
    assert [str(found.path.relative_to(root)) for found in find_recordings([root]).recordings] == names(root)


def test_a_folder_is_listed_by_its_own_path_rather_than_by_a_link(tmp_path: Path) -> None:
    write(tmp_path / "z" / "a.wav")
    (tmp_path / "a").symlink_to(tmp_path / "z")
    assert names(tmp_path) == ["z/a.wav"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "closed" / "a.wav")
    (tmp_path / "closed").chmod(0)
    (sentence,) = files_under(tmp_path).left_out
    (tmp_path / "closed").chmod(0o700)
    assert "closed cannot be listed: Permission denied" in sentence


def test_a_link_to_nothing_is_a_file_so_that_its_reader_reports_it(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    assert names(tmp_path) == ["a.wav", "gone.wav", "loop.wav"]


@pytest.mark.parametrize("name", [b"Stra\xdfe.wav", b"\xff\xfe.wav", b"sub\xe9/a.wav"])
def test_a_name_that_is_not_utf8_is_left_out_with_a_sentence(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        write(tmp_path / "a.wav", path)
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    for left_out in (recordings_in(tmp_path).left_out, find_recordings([path, tmp_path]).left_out):
        assert "is not UTF-8 at character" in left_out[0]
        assert left_out[0].isprintable()
    assert names(tmp_path) == ["a.wav"]
    with pytest.raises(SourceError, match="is not UTF-8 at character"):
        Recording("mic0", path)


def test_a_name_that_is_too_long_for_the_system_is_a_file_that_is_not_there(tmp_path: Path) -> None:
    [found] = find_recordings([tmp_path / f"{'n' * 300}.wav"]).recordings
    with pytest.raises(SourceError, match="File name too long"):
        Recording("street", found.path)
