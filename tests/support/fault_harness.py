"""A real `soundwatch run` for one fault, and the claims that have to hold.

Conventions: a daemon has `SOURCES` sources that switch on and off, about thirty lines a second. Each fault is a
function that returns an `Outcome`, which names the claims that do not hold. Nothing is asserted here.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from support.band_model import write_band_model
from support.fakes import silence, tone

SOUNDWATCH: Final = str(Path(sys.executable).with_name("soundwatch"))
RATE_HZ: Final = 16_000
SOURCES: Final = 8
WAIT_S: Final = 60.0
ON_S, OFF_S = 0.7, 0.8


@dataclass(slots=True)
class Outcome:
    """Outcome of one fault.

    Attributes:
        fault: The fault.
        claims: Claims, and whether each held.
        seen: Counts.
    """

    fault: str
    claims: dict[str, bool] = field(default_factory=dict)
    seen: dict[str, int | str] = field(default_factory=dict)

    @property
    def broken(self) -> list[str]:
        """Claims that do not hold."""
        return [claim for claim, holds in self.claims.items() if not holds]


class Place:
    """A folder with recordings that switch on and off, a model and a configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal.db"
        self.events = folder / "events.jsonl"
        self.config = folder / "config.yaml"
        self.model = write_band_model(folder / "bands.onnx")
        flap = np.concatenate([silence(OFF_S, RATE_HZ), tone(300, ON_S, RATE_HZ)], axis=1)
        soundfile.write(folder / "flap.wav", np.tile(flap, 80).T, RATE_HZ)
        self.write()

    def write(self, more: str = "", journal: Path | None = None, sources: str = "") -> None:
        """Write the configuration, with the lines and sources that a fault needs."""
        sources += "".join(f"  flap{number}: {{device: {self.folder}/flap.wav}}\n" for number in range(SOURCES))
        self.config.write_text(
            f"sources:\n{sources}model: {{file: {self.model}}}\n"
            "detection: {min_duration_s: 0.1, cooldown_s: 0.1, update_s: 0.5}\n"
            f"journal: {{path: {journal or self.journal}}}\n" + more
        )


@contextlib.contextmanager
def daemon(place: Place, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run `soundwatch run` in the folder; kill it at the end if it still runs."""
    command = [SOUNDWATCH, "run", "--config", str(place.config), *arguments]
    with (
        (place.folder / "run.log").open("ab") as log,
        (place.folder / "stdout.jsonl").open("ab") as out,
        subprocess.Popen(command, stdout=out, stderr=log, text=False, **options) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def until(seen: Callable[[], object], patience_s: float = WAIT_S) -> bool:
    """Wait until a condition holds; return False after the time limit."""
    until_s = time.monotonic() + patience_s
    while time.monotonic() < until_s:
        if seen():
            return True
        time.sleep(0.02)
    return False


def printed(place: Place) -> list[dict[str, Any]]:
    """Return all complete lines of standard output, over all runs."""
    text = (place.folder / "stdout.jsonl").read_bytes()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]


def log_text(place: Place) -> str:
    """Return the log of all runs."""
    return (place.folder / "run.log").read_text(errors="replace")


def continues(place: Place, more: int = 10) -> bool:
    """Return True if further lines are printed."""
    before = len(printed(place))
    return until(lambda: len(printed(place)) >= before + more)


def journal_lines(place: Place) -> list[dict[str, Any]]:
    """Return all lines of the journal."""
    journal = sqlite3.connect(f"{place.journal.as_uri()}?mode=ro", uri=True)
    try:
        return [json.loads(line) for (line,) in journal.execute("SELECT line FROM lines ORDER BY seq")]
    finally:
        journal.close()


def check_lines(outcome: Outcome, lines: list[dict[str, Any]]) -> None:
    """Check numbers, ends and classes of lines."""
    events = [line for line in lines if line["type"] in ("start", "update", "end")]
    starts = [line["id"] for line in events if line["type"] == "start"]
    ends = [line["id"] for line in events if line["type"] == "end"]
    outcome.claims["numbers have no gap"] = [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    outcome.claims["every event ends once"] = sorted(starts) == sorted(ends) and len(set(ends)) == len(ends)
    outcome.claims["no wrong event"] = {line["class"] for line in events} <= {"low"} and all(
        line["offset"] is None or line["offset"] >= line["onset"] for line in events
    )
    outcome.seen |= {"lines": len(lines), "events": len(starts)}


def check_file(outcome: Outcome, place: Place, lines: list[dict[str, Any]]) -> None:
    """Check that a file has every line, and that repeated lines are marked."""
    seqs: set[int] = set()
    unmarked = repeated = torn = 0
    for text in place.events.read_bytes().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            torn += 1
            continue
        repeated += line["seq"] in seqs
        unmarked += line["seq"] in seqs and not line.get("repeated")
        seqs.add(line["seq"])
    outcome.claims["the file has every line"] = seqs == {line["seq"] for line in lines}
    outcome.claims["repeated lines are marked"] = not unmarked
    outcome.seen |= {"repeated": repeated, "torn": torn}


def check_end(outcome: Outcome, process: subprocess.Popen[bytes]) -> None:
    """Check that the program ends with success on SIGTERM."""
    process.send_signal(signal.SIGTERM)
    try:
        outcome.claims["the program ends on SIGTERM"] = process.wait(WAIT_S) == 0
    except subprocess.TimeoutExpired:
        outcome.claims["the program ends on SIGTERM"] = False


def check_no_traceback(outcome: Outcome, place: Place) -> None:
    """Check that the log has no traceback."""
    outcome.claims["no traceback"] = "Traceback" not in log_text(place)


def check_files(outcome: Outcome, place: Place) -> None:
    """Check the lines of the journal, those of the file, and the log."""
    lines = journal_lines(place)
    check_lines(outcome, lines)
    check_file(outcome, place, lines)
    check_no_traceback(outcome, place)
