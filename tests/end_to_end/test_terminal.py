"""`soundwatch run` on a real pseudo-terminal: the view, its keys, and how it leaves the terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from support.cli_runner import SOUNDWATCH
from support.fakes import tone

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals", allow_module_level=True)

from support.band_model import write_band_model
from support.pty_terminal import Terminal

LEAVES_OTHER_SCREEN = b"\x1b[?1049l"


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Write a minute of a tone, and a model that detects it."""
    soundfile.write(tmp_path / "tone.wav", tone(300, 60, 16_000).T, 16_000)
    model = write_band_model(tmp_path / "bands.onnx")
    return [SOUNDWATCH, "run", "--device", str(tmp_path / "tone.wav"), "--model", str(model), "--journal", "memory"]


@pytest.fixture
def terminal(command: list[str]) -> Iterator[Terminal]:
    opened = Terminal(command)
    yield opened
    opened.close()


def text(lines: list[str]) -> str:
    return "\n".join(lines)


def test_a_terminal_shows_level_classes_and_events_and_q_ends_it(terminal: Terminal) -> None:
    seen = ("soundwatch", "dBFS", "low", "active", "source_opened")  # the last one is of the log
    lines = terminal.wait_for(lambda lines: all(word in text(lines) for word in seen))
    assert "soundwatch" in lines[0]
    assert not any(line.startswith("{") for line in lines)
    terminal.type(b"q")
    assert terminal.end() == 0
    after = terminal.written.partition(LEAVES_OTHER_SCREEN)[2]
    assert b"source_opened" in after, "what was said meanwhile is there to be read"
    assert b"Traceback" not in terminal.written


def test_ctrl_c_ends_the_view_and_restores_the_terminal(terminal: Terminal) -> None:
    terminal.wait_for(lambda lines: "dBFS" in text(lines))
    os.killpg(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == 0
    assert LEAVES_OTHER_SCREEN in terminal.written
    assert b"\x1b[?25h" in terminal.written.rpartition(LEAVES_OTHER_SCREEN)[0][-200:] + terminal.written[-200:]


def test_a_terminal_that_is_closed_ends_it(command: list[str], tmp_path: Path) -> None:
    opened = Terminal([*command, "-F", "terminal", "-F", f"json:{tmp_path}/events.jsonl"])
    opened.wait_for(lambda lines: any(line.endswith("active") for line in lines))
    opened.hang_up()
    assert opened.process.wait(60) == 0
    ends = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [line["type"] for line in ends][-2:] == ["end", "stats"]


def test_it_fits_when_the_terminal_becomes_smaller(terminal: Terminal) -> None:
    terminal.wait_for(lambda lines: "dBFS" in text(lines))
    terminal.resize(50, 12)
    terminal.wait_for(lambda lines: "quits" in lines[-1] and "soundwatch" in lines[0] and "dBFS" in text(lines))
    terminal.type(b"q")
    assert terminal.end() == 0


@pytest.mark.parametrize("words", [["--plain"], ["-F", "json"]])
def test_lines_can_be_had_on_a_terminal_too(command: list[str], words: list[str]) -> None:
    opened = Terminal([*command, *words], columns=2000)
    opened.wait_for(lambda lines: any(line.startswith('{"schema"') for line in lines))
    os.killpg(opened.process.pid, signal.SIGINT)
    assert opened.end() == 0
    assert LEAVES_OTHER_SCREEN not in opened.written
    opened.close()


def test_a_dumb_terminal_gets_lines(command: list[str]) -> None:
    opened = Terminal(command, columns=2000, env={"TERM": "dumb"})
    opened.wait_for(lambda lines: any(line.startswith('{"schema"') for line in lines))
    opened.close()


def test_a_pipe_gets_lines_and_the_view_is_not_imported(command: list[str]) -> None:
    program = (
        "import sys; from soundwatch.daemon.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print('rich' in sys.modules, file=sys.stderr)"
    )
    short = [part.replace("tone.wav", "short.wav") for part in command]
    soundfile.write(short[3], tone(300, 5, 16_000).T, 16_000)
    done = subprocess.run([sys.executable, "-c", program, *short[1:]], capture_output=True, text=True, check=True)
    assert {json.loads(line)["type"] for line in done.stdout.splitlines()} >= {"hello", "stats"}
    assert done.stderr.splitlines()[-1] == "False"


def test_a_configured_sink_stays_with_the_view(command: list[str], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"sinks: [json, 'json:{tmp_path}/events.jsonl']\n")
    opened = Terminal([*command, "--config", str(config)])
    opened.wait_for(lambda lines: all(word in text(lines) for word in ("active", "events.jsonl")))
    opened.type(b"q")
    assert opened.end() == 0
    opened.close()
    assert [json.loads(line)["type"] for line in (tmp_path / "events.jsonl").read_text().splitlines()][-1] == "stats"


def test_a_sink_that_cannot_be_opened_is_reported_on_a_restored_terminal(command: list[str], tmp_path: Path) -> None:
    missing = [part.replace("tone.wav", "nowhere.wav") for part in command]
    opened = Terminal(missing)
    assert opened.end() == 4
    after = opened.written.rpartition(LEAVES_OTHER_SCREEN)[2]
    assert b"nowhere.wav" in after
    assert b"Traceback" not in opened.written
    opened.close()
