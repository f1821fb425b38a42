"""Signals during the search of a long FLAC for joined parts, which comes before its first sample.

The file is sparse, and so long that its search would take longer than the test waits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.cli_runner import SOUNDWATCH

PATIENCE_S = 90

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the position in a file is read from /proc")

COMMANDS = {
    "classify": ("classify", "{file}"),
    "replay": ("replay", "{file}"),
    "scan": ("scan", "{file}", "--out", "{folder}/events.jsonl"),
    "run": ("run", "--device", "{file}"),
    "data check": ("data", "check", "{folder}", "--layout", "folders"),
}


@pytest.fixture
def long_flac(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "siren" / "long.flac"
    path.parent.mkdir(parents=True)
    soundfile.write(path, np.zeros(44_100, np.int16), 44_100)
    os.truncate(path, 1 << 40)
    return path


def is_searched(pid: int, path: Path) -> bool:
    """Return True if a process has read 32 MiB of a file."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if descriptor.readlink() == path:
                position = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text().split()[1]
                return int(position) > 1 << 25
        except FileNotFoundError:  # closed meanwhile
            continue
    return False


@pytest.mark.parametrize(
    ("command", "number"),
    list(zip(COMMANDS, [signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGTERM], strict=True)),
)
def test_a_signal_during_the_search_of_a_long_file_ends_the_program(
    command: str, number: signal.Signals, long_flac: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    arguments = [part.format(file=long_flac, folder=tmp_path / "data") for part in COMMANDS[command]]
    program = subprocess.Popen(
        [SOUNDWATCH, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(temporary), "XDG_STATE_HOME": str(tmp_path / "state")},
    )
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_searched(program.pid, long_flac):
            assert program.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        program.send_signal(number)
        _, log = program.communicate(timeout=PATIENCE_S)
    finally:
        program.kill()
    assert program.returncode == 0, log
    assert b"Traceback" not in log
    assert list(temporary.iterdir()) == []
