from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from soundwatch.daemon.core.files.atomic_file import replace_file


def test_a_file_gets_its_new_content_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(part: Path) -> None:
        part.write_text("new")
        assert path.read_text() == "old"

    replace_file(path, write)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_private_file_is_private_before_its_first_byte(tmp_path: Path, umask: int) -> None:
    path, seen = tmp_path / "a.txt", list[int]()

    def write(part: Path) -> None:
        part.write_text("x")
        seen.append(part.stat().st_mode & 0o777)

    before = os.umask(umask)
    try:
        replace_file(path, write, mode=0o600)
    finally:
        os.umask(before)
    assert seen == [0o600]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("torch")])
def test_a_write_that_fails_leaves_the_old_content_and_no_part(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(part: Path) -> None:
        part.write_text("half")
        raise error

    with pytest.raises(type(error)):
        replace_file(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_place_of_the_file_is_an_error_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"a\.txt"):
        replace_file(path, lambda part: part.write_text("new"))
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_beyond_the_size_limit_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    program = f"""
import pathlib, resource, signal
from soundwatch.daemon.core.files.atomic_file import replace_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.getrlimit(resource.RLIMIT_FSIZE)[1]}))
replace_file(pathlib.Path({str(path)!r}), lambda part: part.write_bytes(bytes(2000)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_refused_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        replace_file(tmp_path / "pipe", lambda part: part.write_text("new"))
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    replace_file(tmp_path / "link", lambda part: part.write_text("new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"
