"""The log's output: standard error, journald, and a queue that never delays a caller."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest

from soundwatch.daemon.config.config import LogConfig
from soundwatch.daemon.system import journald
from soundwatch.daemon.system.log import LogEntry, StructuredLogger
from soundwatch.daemon.system.log_output import QueuedOutput, StderrOutput, open_logger, wants_colors
from support.cli_runner import soundwatch

LogFormat = Literal["auto", "json", "pretty"]

WAIT_S = 60.0


def test_without_a_terminal_an_entry_is_one_json_object(capfd: pytest.CaptureFixture[str]) -> None:
    with open_logger(LogConfig()) as log:
        log.warning("lines_lost", source="mic0", lost_lines=3, cause=OSError("no room"))
    captured = capfd.readouterr()
    entry = json.loads(captured.err)
    assert captured.out == ""
    assert datetime.fromisoformat(entry.pop("timestamp")).utcoffset() is not None
    assert entry == {
        "source": "mic0", "lost_lines": 3, "cause": "no room", "event": "lines_lost", "level": "warning",
    }  # fmt: skip


def test_the_pretty_format_is_a_line_for_people(capfd: pytest.CaptureFixture[str]) -> None:
    with open_logger(LogConfig(format="pretty")) as log:
        log.error("source_lost", source="mic0", error="It broke.")
    assert capfd.readouterr().err.endswith("[error   ] source_lost error='It broke.' source='mic0'\n")


class Blocked:
    """An output that waits until it is released, then fails a given number of times."""

    def __init__(self, failures: int = 0) -> None:
        self.released, self.entered = threading.Event(), threading.Event()
        self.failures = failures
        self.written: list[LogEntry] = []

    def __call__(self, entry: LogEntry) -> None:
        self.entered.set()
        assert self.released.wait(WAIT_S)
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        self.written.append(entry)


def test_entries_beyond_the_queue_are_lost_counted_and_reported_later() -> None:
    blocked = Blocked()
    output = QueuedOutput(blocked, limit=3)
    log = StructuredLogger("info", output)
    log.info("first")
    assert blocked.entered.wait(WAIT_S)
    for number in range(10):
        log.info("next", number=number)
    blocked.released.set()
    output.close(WAIT_S)
    assert [entry.event for entry in blocked.written] == ["first", "log_entries_lost", "next", "next", "next"]
    assert blocked.written[1].fields == {"entries": 7}


def test_entries_that_cannot_be_written_are_counted_and_reported_once_writing_works() -> None:
    blocked = Blocked(failures=4)
    blocked.released.set()
    output = QueuedOutput(blocked)
    log = StructuredLogger("info", output)
    for number in range(6):
        log.info("next", number=number)
    output.close(WAIT_S)
    assert [entry.fields for entry in blocked.written] == [{"number": 4}, {"entries": 4}, {"number": 5}]


def test_an_output_with_a_bug_does_not_end_the_thread_that_writes() -> None:
    written: list[str] = []

    def write(entry: LogEntry) -> None:
        if entry.event == "bad":
            raise ValueError("a bug")
        written.append(entry.event)

    output = QueuedOutput(write)
    log = StructuredLogger("info", output)
    log.info("bad")
    log.info("good")
    output.close(WAIT_S)
    assert written == ["good", "log_entries_lost"]


def test_closing_does_not_wait_for_an_output_that_is_blocked() -> None:
    blocked = Blocked()
    output = QueuedOutput(blocked, limit=1)
    log = StructuredLogger("info", output)
    for _ in range(5):
        log.info("next")
    output.close(patience_s=0.05)
    assert blocked.written == []
    blocked.released.set()


@pytest.mark.parametrize("pretty", [False, True])
def test_a_full_pipe_takes_the_entry_when_its_reader_reads(pretty: bool) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    kept = os.dup(2)
    try:
        while True:
            try:
                os.write(writing, bytes(4096))
            except BlockingIOError:
                break
        os.dup2(writing, 2)
        output = QueuedOutput(StderrOutput(pretty, colored=False))
        StructuredLogger("info", output).info("sink_failed", sink="mqtt")
        received = b""
        while b"sink_failed" not in received or not received.endswith(b"\n"):
            received = (received + os.read(reading, 65_536))[-4096:]
        output.close(WAIT_S)
    finally:
        os.dup2(kept, 2)
        for descriptor in (kept, reading, writing):
            os.close(descriptor)


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[socket.socket]:
    """The system's journal, to which standard error leads."""
    del capfd
    state = os.fstat(sys.stderr.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{state.st_dev}:{state.st_ino}")
    with (
        tempfile.TemporaryDirectory(prefix="soundwatch-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening,
    ):
        listening.bind(f"{folder}/socket")
        listening.settimeout(5)
        monkeypatch.setattr(journald, "SOCKET", Path(folder) / "socket")
        yield listening


needs_unix = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


@needs_unix
def test_under_systemd_an_entry_has_a_level_and_its_fields_are_the_journals(journal: socket.socket) -> None:
    with open_logger(LogConfig()) as log:
        log.warning("source_lost", source="mic0", away_s=2, error="one\ntwo")
    entry = journal.recv(65_536)
    assert b"MESSAGE=source_lost away_s=2 error='one\\ntwo' source='mic0'\n" in entry
    assert b"PRIORITY=4\n" in entry
    assert b"SOUNDWATCH_SOURCE=mic0\nSOUNDWATCH_AWAY_S=2\n" in entry
    assert b"SOUNDWATCH_ERROR\n" + struct.pack("<Q", 7) + b"one\ntwo\n" in entry


@needs_unix
@pytest.mark.parametrize("wanted", ["auto", "json", "pretty"])
def test_entries_that_journald_refuses_are_printed_with_their_level(
    journal: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    wanted: Literal["auto", "json", "pretty"],
) -> None:
    monkeypatch.setattr(journald, "SOCKET", Path("/nowhere/socket"))
    with open_logger(LogConfig(format=wanted)) as log:
        log.error("lines_lost", lines=3)
    printed = capfd.readouterr().err
    assert printed.startswith("<3>")
    assert ("[error   ]" in printed) == (wanted == "pretty")


@needs_unix
def test_a_journal_that_standard_error_does_not_lead_to_is_left_alone(journal: socket.socket, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as elsewhere:
        done = soundwatch("run", "--device", tmp_path / "none.wav", capture_output=False, stderr=elsewhere)
    assert done.returncode == 4
    assert not (tmp_path / "log").read_text().startswith("<")


@needs_unix
def test_the_sentence_that_the_program_ends_with_has_a_level_in_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        state = os.fstat(log.fileno())
        env = {"JOURNAL_STREAM": f"{state.st_dev}:{state.st_ino}"}
        soundwatch("run", "--device", tmp_path / "none.wav", env=env, capture_output=False, stderr=log)
    assert (tmp_path / "log").read_text().splitlines()[-1].startswith("<3>soundwatch: ")


def test_a_thread_that_fails_is_logged_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError(24, "Too many open files")

    with open_logger(LogConfig()):
        thread = threading.Thread(target=fail, name="path lookup")
        thread.start()
        thread.join()
    [entry] = map(json.loads, capfd.readouterr().err.splitlines())
    assert (entry["event"], entry["level"], entry["thread"]) == ("thread_failed", "error", "path lookup")
    assert entry["error"] == "OSError: [Errno 24] Too many open files"
    assert "test_log_output.py:" in entry["at"]


def test_an_entry_waits_while_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[LogEntry] = []
    log = StructuredLogger("info", output := QueuedOutput(written.append))
    start = threading.Thread.start

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    log.info("first")
    monkeypatch.setattr(threading.Thread, "start", start)
    log.info("second")
    output.close()
    assert [entry.event for entry in written] == ["first", "second"]


@pytest.mark.parametrize(
    ("environment", "colored"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_a_terminal_without_colors_gets_none(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], colored: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_colors() is colored
