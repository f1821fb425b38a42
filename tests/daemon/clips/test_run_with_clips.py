"""`soundwatch run --clips` with an unwritable folder: the program continues and reports it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.cli_runner import SOUNDWATCH


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def replace_by_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def replace_by_dangling_link(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder.with_name("nowhere"))


@pytest.mark.slow
def test_a_clip_that_cannot_be_written_costs_that_clip_and_nothing_else(tmp_path: Path) -> None:
    damages = (remove, replace_by_file, replace_by_dangling_link)
    with ExitStack() as stack:
        daemons = {damage: stack.enter_context(listening(tmp_path / damage.__name__)) for damage in damages}
        for damage, daemon in daemons.items():
            assert daemon.stdout is not None
            assert json.loads(daemon.stdout.readline())["type"] == "hello"
            damage(tmp_path / damage.__name__ / "clips")
        for damage, daemon in daemons.items():
            seen = read_past_the_lost_clip(daemon)
            assert daemon.wait(60) == 0, damage
            assert {line["reason"] for line in seen if line["type"] == "clip"} <= {"disk", "speech"}, damage
            log = (tmp_path / damage.__name__ / "log").read_text()
            assert "Traceback" not in log
            entries = [json.loads(text) for text in log.splitlines()]
            assert [entry["reason"] for entry in entries if entry["event"] == "clip_lost"][:1] == ["disk"], log


@contextmanager
def listening(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the daemon on the demo, with clips and its log in a folder; it is killed if it has not ended."""
    folder.mkdir()
    command = [SOUNDWATCH, "run", "--device", "demo", "-F", "json", "--clips", str(folder / "clips")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([*command, "--journal", "memory"], stdout=subprocess.PIPE, stderr=log) as daemon,
    ):
        try:
            yield daemon
        finally:
            daemon.kill()


def read_past_the_lost_clip(daemon: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    """Read lines up to an event after the first clip's line, and end the daemon."""
    assert daemon.stdout is not None
    seen = list[dict[str, Any]]()
    for text in daemon.stdout:
        seen.append(json.loads(text))
        lost = [number for number, value in enumerate(seen) if value["type"] == "clip"]
        if lost and any(item["type"] == "start" for item in seen[lost[0] :]):
            break
    daemon.send_signal(signal.SIGTERM)
    daemon.stdout.read()
    return seen
