"""The sink `json` with rotated files, closed readers and full disks."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.sinks.dispatcher import SinkDispatcher
from soundwatch.daemon.sinks.file import FileSink, open_file
from soundwatch.daemon.sinks.spec import PreparedSink
from support.delivery_loss import small_disk
from support.mosquitto import wait_until
from support.sink_harness import SinkHarness


def prepared(sink: FileSink) -> PreparedSink:
    return PreparedSink(sink.name, (sink.name,), lambda: sink, lambda: None, durable=False)


def seqs(path: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in path.read_text().splitlines()]


def test_after_a_rename_a_new_file_gets_the_lines_and_none_is_lost(harness: SinkHarness, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    worker = harness.open(f"json:{path}")
    for turn in range(1, 4):
        harness.event("start")
        harness.wait_for(worker)
        path.rename(tmp_path / f"events.jsonl.{turn}")
    harness.event("end")
    harness.wait_for(worker)
    assert [seqs(tmp_path / f"events.jsonl.{turn}") for turn in (1, 2, 3)] == [[1], [2], [3]]
    assert seqs(path) == [4]
    assert harness.logged() == []


def test_the_documented_logrotate_loses_no_line(harness: SinkHarness, tmp_path: Path) -> None:
    logrotate = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
    if logrotate is None:
        pytest.skip("logrotate is not installed")
    path = tmp_path / "events.jsonl"
    rules = tmp_path / "rules"
    rules.write_text(f"{path} {{\n rotate 9\n missingok\n su {os.getuid()} {os.getgid()}\n}}\n")
    rules.chmod(0o644)
    worker = harness.open(f"json:{path}")
    for _ in range(3):
        harness.event("start")
        harness.wait_for(worker)
        subprocess.run([logrotate, "--force", "--state", tmp_path / "state", rules], check=True)
    harness.event("end")
    harness.wait_for(worker)
    assert [seqs(file) for file in sorted(tmp_path.glob("events.jsonl*"))] == [[4], [3], [2], [1]]


def test_a_file_waits_for_its_removed_folder(harness: SinkHarness, tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    worker = harness.open(f"json:{folder}/events.jsonl")
    folder.rename(tmp_path / "away")
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    folder.mkdir()
    harness.wait_for(worker)
    (line,) = [json.loads(text) for text in (folder / "events.jsonl").read_text().splitlines()]
    assert (line["seq"], line["repeated"]) == (1, True)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")
def test_a_file_that_a_network_share_has_lost_is_opened_again(
    harness: SinkHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fstat, opened = tmp_path / "events.jsonl", os.fstat, os.open
    stale: list[int] = []

    def fstat_of_share(descriptor: int) -> os.stat_result:
        if descriptor in stale:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return fstat(descriptor)

    def opened_anew(*arguments: Any, **options: Any) -> int:
        descriptor = opened(*arguments, **options)
        stale[:] = [one for one in stale if one != descriptor]
        return descriptor

    worker = harness.open(f"json:{path}")
    harness.event("start")
    harness.wait_for(worker)
    inode = path.stat().st_ino
    stale += [
        int(file.name) for file in Path("/proc/self/fd").iterdir() if file.exists() and file.stat().st_ino == inode
    ]
    monkeypatch.setattr(os, "fstat", fstat_of_share)
    monkeypatch.setattr(os, "open", opened_anew)
    harness.event("end")
    harness.wait_for(worker)
    assert seqs(path) == [1, 2]


def test_a_full_disk_is_waited_for_and_all_lines_follow(harness: SinkHarness, tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk", 1_000_000) as disk:
            path = disk.folder / "events.jsonl"
            worker = harness.open(f"json:{path}")
            harness.event("start")
            harness.wait_for(worker)
            disk.fill()
            for _ in range(50):
                harness.event("update")
            wait_until(lambda: worker.status.state == "failing")
            assert worker.status.reason == "No space left on device"
            disk.free()
            harness.wait_for(worker)
            texts = path.read_text().splitlines()
            whole = [json.loads(text) for text in texts if text.endswith("}") and text.startswith("{")]
            assert len(texts) - len(whole) <= 1, "at most the one line that the disk took a part of is broken"
            assert {line["seq"] for line in whole} == set(range(1, 52))
            worker.close(0)
    except PermissionError as error:
        pytest.skip(str(error))


def test_a_file_with_an_incomplete_line_continues_on_a_new_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq":1}\n{"se')
    sink = open_file(str(path))
    sink.write(b'{"seq":2}\n')
    sink.close()
    assert path.read_bytes() == b'{"seq":1}\n{"se\n{"seq":2}\n'


def test_a_closed_reader_ends_standard_output_and_no_file(harness: SinkHarness, tmp_path: Path) -> None:
    gone: list[str] = []
    workers = SinkDispatcher(harness.log, gone.append)
    reading, writing = os.pipe()
    pipe = workers.add(prepared(FileSink("stdout", writing)), harness.journal)
    file = workers.add(prepared(open_file(str(tmp_path / "events.jsonl"))), harness.journal)
    os.close(reading)
    harness.event("start")
    harness.wait_for(file)
    wait_until(lambda: pipe.status.state == "gone")
    harness.event("end")
    harness.wait_for(file)
    assert gone == [], "there is another sink"
    assert workers.close() == {}
    os.close(writing)


@pytest.mark.parametrize("content", [b"RIFF\x24\0\0\0WAVEfmt ", b"SQLite format 3\0", b"\xff\xfb\x90\x64"])
def test_a_file_that_is_no_text_gets_no_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "street.wav"
    path.write_bytes(content)
    with pytest.raises(SinkError, match=r"street.wav is no text file"):
        open_file(str(path))
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", bytes(200), "ü".encode() * 100, b"x" + "ü".encode() * 100, b"{}\n"])
def test_text_and_what_a_loss_of_power_leaves_get_lines(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    open_file(str(path)).close()
