from __future__ import annotations

import os
import pty
from collections.abc import Iterator

import numpy as np
import pytest

from soundwatch.daemon.cli.recording_bar import SourceWithBar
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceInfo

RATE_HZ = 8000


class Microphone:
    """A microphone that loses the third second, and delivers more than was asked for."""

    start_unix_ns = 5
    info = SourceInfo("background", "USB", 0, 1)

    def blocks(self) -> Iterator[Block]:
        for second in (0, 1, 3, 4):
            yield Block(np.zeros((1, RATE_HZ), np.float32), RATE_HZ, second * RATE_HZ, RATE_HZ * (second == 3))

    def stop(self) -> None: ...


def test_a_recording_draws_a_bar_of_its_seconds_and_gives_all_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        source = SourceWithBar(Microphone(), 4.0)
        assert [block.first_sample // RATE_HZ for block in source.blocks()] == [0, 1, 3, 4]
        written = b""
        while b"100%" not in written:  # a terminal gives what was written in parts
            written += os.read(ours, 1 << 16)
    os.close(ours)
    assert b"recording" in written
    assert b" 50%" in written
    assert (source.info, source.start_unix_ns) == (Microphone.info, 5)
