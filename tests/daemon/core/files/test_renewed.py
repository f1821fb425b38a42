"""Values from files that are replaced, removed and not readable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.files.renewed import Renewed


def read(path: Path) -> str:
    text = path.read_text()
    if not text:
        raise SinkError(f"{path} is empty.")
    return text


def test_a_replaced_file_is_read_again_and_a_missing_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("former")
    renewed = Renewed(lambda: read(file), [str(file), None])
    file.unlink()
    assert renewed.get() == "former"
    file.write_text("renewed")
    assert [renewed.get(), renewed.get()] == ["renewed", "renewed"]


def test_a_file_that_cannot_be_used_is_read_again_until_it_can(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("former")
    renewed = Renewed(lambda: read(file), [str(file)])
    file.write_text("")
    for _ in range(2):
        with pytest.raises(SinkError, match="is empty"):
            renewed.get()
    file.write_text("renewed")
    assert renewed.get() == "renewed"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reads: list[int] = []
    renewed = Renewed(lambda: reads.append(1), [str(pipe)])
    os.utime(pipe, (1, 1))
    renewed.get()
    assert reads == [1]
