"""The diary: what is written, and what is left out."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from soundwatch.daemon.core.config import LogConfig
from soundwatch.daemon.system import journald
from soundwatch.daemon.system.log import make_logger
from support.cli_runner import soundwatch


def test_elsewhere_than_on_a_terminal_an_entry_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    make_logger(LogConfig()).warning("a sentence", source="mic0", lost_lines=3, cause=OSError("no room"))
    captured = capsys.readouterr()
    entry = json.loads(captured.err)
    assert captured.out == ""
    assert datetime.fromisoformat(entry.pop("timestamp")).utcoffset() is not None
    assert entry == {
        "source": "mic0", "lost_lines": 3, "cause": "no room", "event": "a sentence", "level": "warning",
    }  # fmt: skip


def test_pretty_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    make_logger(LogConfig(format="pretty")).error("a source was lost", source="mic0", error="It broke.")
    assert capsys.readouterr().err.endswith("[error   ] a source was lost error='It broke.' source='mic0'\n")


@pytest.mark.parametrize(("level", "written"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_below_the_level_is_left_out(capsys: pytest.CaptureFixture[str], level: str, written: int) -> None:
    log = make_logger(LogConfig(level=level))  # type: ignore[arg-type]
    for write in (log.debug, log.info, log.warning, log.error):
        write("a sentence")
    assert capsys.readouterr().err.count("\n") == written


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
    make_logger(LogConfig()).warning("a source is lost", source="mic0", away_s=2, error="one\ntwo")
    entry = journal.recv(65_536)
    assert b"MESSAGE=a source is lost away_s=2 error='one\\ntwo' source='mic0'\n" in entry
    assert b"PRIORITY=4\n" in entry
    assert b"SOUNDWATCH_SOURCE=mic0\nSOUNDWATCH_AWAY_S=2\n" in entry
    assert b"SOUNDWATCH_ERROR\n" + struct.pack("<Q", 7) + b"one\ntwo\n" in entry


@needs_unix
@pytest.mark.parametrize("wanted", ["auto", "json", "pretty"])
def test_what_the_journal_does_not_take_or_was_asked_for_otherwise_is_printed_with_its_level(
    journal: socket.socket, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], wanted: str
) -> None:
    monkeypatch.setattr(journald, "SOCKET", Path("/nowhere/socket"))
    make_logger(LogConfig(format=wanted)).error("a sentence", lost_lines=3)  # type: ignore[arg-type]
    printed = capfd.readouterr().err
    assert printed.startswith("<3>")
    assert ("[error   ]" in printed) == (wanted == "pretty")


@pytest.mark.slow
@needs_unix
def test_a_journal_that_standard_error_does_not_lead_to_is_left_alone(journal: socket.socket, tmp_path: Path) -> None:
    with (tmp_path / "diary").open("w") as elsewhere:
        done = soundwatch("run", "--device", tmp_path / "none.wav", capture_output=False, stderr=elsewhere)
    assert done.returncode == 4
    assert not (tmp_path / "diary").read_text().startswith("<")


@pytest.mark.slow
@needs_unix
def test_the_sentence_that_the_program_ends_with_has_a_level_in_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "diary").open("w") as diary:
        state = os.fstat(diary.fileno())
        env = {"JOURNAL_STREAM": f"{state.st_dev}:{state.st_ino}"}
        soundwatch("run", "--device", tmp_path / "none.wav", env=env, capture_output=False, stderr=diary)
    assert (tmp_path / "diary").read_text().splitlines()[-1].startswith("<3>soundwatch: ")
