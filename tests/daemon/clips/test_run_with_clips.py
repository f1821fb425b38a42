"""`soundwatch run --clips` where clips cannot be written: the program goes on and says so."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
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
@pytest.mark.parametrize("damage", [remove, replace_by_file, replace_by_dangling_link])
def test_a_clip_that_cannot_be_written_costs_that_clip_and_nothing_else(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder, log = tmp_path / "clips", tmp_path / "log"
    command = [SOUNDWATCH, "run", "--device", "demo", "-F", "json", "--clips", str(folder), "--journal", "memory"]
    with (
        log.open("wb") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as daemon,
    ):
        assert daemon.stdout is not None
        seen = list[dict[str, Any]]()
        for text in daemon.stdout:
            line = json.loads(text)
            if line["type"] == "hello":
                damage(folder)
            seen.append(line)
            lost = [number for number, each in enumerate(seen) if each["type"] == "clip"]
            if lost and any(each["type"] == "start" for each in seen[lost[0] :]):  # an event after the lost clip
                break
        daemon.send_signal(signal.SIGTERM)
        daemon.stdout.read()
        assert daemon.wait(60) == 0, log.read_text()
    assert {line["reason"] for line in seen if line["type"] == "clip"} <= {"disk", "speech"}
    assert "Traceback" not in log.read_text()
    entries = [json.loads(text) for text in log.read_text().splitlines()]
    assert [entry["reason"] for entry in entries if entry["event"] == "clip_lost"][:1] == ["disk"]
