"""Numbering and distribution of lines, and the effect of a failing sink on the others."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.events.schema import UNNUMBERED, GapLine
from soundwatch.daemon.sinks.direct import DirectWriter
from soundwatch.daemon.sinks.health import SinkHealth
from soundwatch.daemon.sinks.protocols import SinkStatus
from support.memory_logger import MemoryLogger


def gap() -> GapLine:
    return GapLine(seq=UNNUMBERED, time="t", node="n", source="s", start="t", duration_s=1.0, reason="capture")


class Reader:
    """A sink that stores lines, or fails on request."""

    def __init__(self, name: str, failures: dict[int, OSError] | None = None) -> None:
        self.name = name
        self.failures = failures or {}
        self.lines: list[Any] = []
        self.calls = 0

    def write(self, line: bytes) -> None:
        self.calls += 1
        if self.calls in self.failures:
            raise self.failures[self.calls]
        self.lines.append(json.loads(line))

    def close(self) -> None:
        self.name += " closed"


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def journal_of(*sinks: Reader) -> tuple[DirectWriter, MemoryLogger]:
    log = MemoryLogger()
    return DirectWriter(list(sinks), log), log


def test_lines_are_numbered_without_holes_and_reach_every_sink() -> None:
    one, two = Reader("one"), Reader("two")
    journal, _ = journal_of(one, two)
    for _ in range(3):
        journal.append(gap())
    assert [line["seq"] for line in one.lines] == [1, 2, 3]
    assert one.lines == two.lines


def test_a_full_disk_counts_lost_lines_reports_once_and_recovers() -> None:
    full, other = Reader("full", {2: no_space(), 3: no_space()}), Reader("other")
    journal, log = journal_of(full, other)
    for _ in range(4):
        journal.append(gap())
    assert [line["seq"] for line in full.lines] == [1, 4]
    assert [line["seq"] for line in other.lines] == [1, 2, 3, 4]
    with pytest.raises(SinkError, match="2 lines could not be written to full"):
        journal.report_losses()
    assert len(log.written) == 2
    assert log.written[0][1] == {"sink": "full", "reason": "No space left on device"}
    assert log.written[1][1] == {"sink": "full", "lost_lines": 2}


def test_a_disconnected_reader_does_not_affect_the_others() -> None:
    gone, other = Reader("gone", {2: BrokenPipeError()}), Reader("other")
    journal, _ = journal_of(gone, other)
    for _ in range(4):
        journal.append(gap())
    assert gone.calls == 2
    assert len(other.lines) == 4


def test_the_program_stops_with_a_message_after_its_last_reader() -> None:
    journal, _ = journal_of(Reader("stdout", {3: BrokenPipeError()}))
    journal.append(gap())
    journal.append(gap())
    with pytest.raises(SinkError, match=r"stdout has gone after 2 lines .* -F json:PATH"):
        journal.append(gap())


def test_a_report_that_fails_ends_no_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    def report(status: SinkStatus) -> None:
        status.name.encode()

    monkeypatch.setattr("soundwatch.daemon.sinks.health.REPORTED_S", 0.0)
    log = MemoryLogger()
    health = SinkHealth("command:/x\udcff", log, report=report)
    assert health.attempt(lambda: bool(1 / 0)) is None
    assert health.attempt(lambda: True) is True
    assert log.events == ["sink_failed", "sink_report_failed", "sink_recovered", "sink_report_failed"]
