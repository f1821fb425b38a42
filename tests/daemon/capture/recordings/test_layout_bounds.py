"""The search for a file's layout is bounded, in memory and in repetitions."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture.recordings.containers import find_parts
from soundwatch.daemon.capture.recordings.containers.chunks import MOST_CHUNKS, RIFF

LONG_BYTES = 20_000_000
RATE_HZ = 8_000


class CountedFile(io.BufferedReader):
    """A file that counts the bytes that are read."""

    count_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.count_bytes += len(content)
        return content


def search(path: Path) -> tuple[int, int]:
    """Return the number of parts, and of bytes read."""
    with path.open("rb", buffering=0) as raw, CountedFile(raw) as file:
        return len(find_parts(file, path.stat().st_size)), file.count_bytes


def long_flac(path: Path) -> None:
    """Write a sparse file that begins with sound."""
    soundfile.write(path, np.zeros(RATE_HZ), RATE_HZ)
    os.truncate(path, LONG_BYTES)


def test_a_long_file_that_is_opened_again_is_not_searched_again(tmp_path: Path) -> None:
    long_flac(tmp_path / "a.flac")
    parts, first_bytes = search(tmp_path / "a.flac")
    assert parts == 1
    assert first_bytes >= LONG_BYTES
    assert search(tmp_path / "a.flac") == (1, 0)


def test_a_long_file_that_has_changed_is_searched_again(tmp_path: Path) -> None:
    long_flac(tmp_path / "a.flac")
    search(tmp_path / "a.flac")
    content = (tmp_path / "a.flac").read_bytes()[:100]
    with (tmp_path / "a.flac").open("r+b") as file:
        file.seek(LONG_BYTES // 2)
        file.write(content)
    os.utime(tmp_path / "a.flac", ns=(0, 0))
    assert search(tmp_path / "a.flac")[0] == 2


@pytest.mark.parametrize("name", [b"zzzz", b"JUNK"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_wav_of_countless_chunks_takes_little_memory(tmp_path: Path, name: bytes, place: str) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE_HZ)
    content = (tmp_path / "a.wav").read_bytes()
    chunks = (name + bytes(4)) * 50_000
    at = 36 if place == "before" else len(content)
    hostile = content[:at] + chunks + content[at:]
    tracemalloc.start()
    find_parts(io.BytesIO(hostile), len(hostile))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2_000_000


def test_a_walk_over_chunks_of_different_names_ends() -> None:
    content = b"".join(b"%04d" % number + bytes(4) for number in range(9_999))
    assert len(list(RIFF.walk(io.BytesIO(content), 0, len(content)))) == MOST_CHUNKS
