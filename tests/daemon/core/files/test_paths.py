"""Paths as users write them, and short files that they name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soundwatch.daemon.core.files.paths import LONGEST_SECRET_BYTES, read_secret


def test_a_secret_is_read_without_the_mark_of_an_editor_and_once_from_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbfsecret\n")
    assert read_secret(tmp_path / "token") == "secret\n"
    reader, writer = os.pipe()
    os.write(writer, b"secret")
    os.close(writer)
    assert read_secret(Path(f"/dev/fd/{reader}")) == "secret"
    os.close(reader)


def test_a_device_or_a_long_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * (LONGEST_SECRET_BYTES + 1))
    for path in (tmp_path / "long", Path("/dev/zero")):
        with pytest.raises(OSError, match=f"it is longer than {LONGEST_SECRET_BYTES} bytes"):
            read_secret(path)
