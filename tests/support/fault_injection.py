"""What happens to a program in a year, done to a real `soundwatch run` in seconds, and what has to hold each time.

Conventions: each function does one thing to a daemon that hears `SOURCES` sources flap, some dozens of lines a second,
and gives an `ScanResult`. A claim that does not hold is named in it; nothing is asserted here, since the benchmark
hardship.py writes down what came of it, and tests/end_to_end/test_fault_injection.py refuses it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from support.band_model import write_band_model
from support.fakes import silence, tone
from support.ports import free_port

SOUNDWATCH: Final = str(Path(sys.executable).with_name("soundwatch"))
RATE_HZ: Final = 16_000
SOURCES: Final = 8
WAIT_S: Final = 60.0
ON_S, OFF_S = 0.7, 0.8


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        fault: What was done.
        claims: What has to hold, and whether it did.
        seen: What was counted.
    """

    fault: str
    claims: dict[str, bool] = field(default_factory=dict)
    seen: dict[str, int | str] = field(default_factory=dict)

    @property
    def broken(self) -> list[str]:
        """The claims that do not hold."""
        return [claim for claim, holds in self.claims.items() if not holds]


class Place:
    """A folder with flapping recordings, a model, and a configuration of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal.db"
        self.events = folder / "events.jsonl"
        self.config = folder / "config.yaml"
        self.model = write_band_model(folder / "bands.onnx")
        flap = np.concatenate([silence(OFF_S, RATE_HZ), tone(300, ON_S, RATE_HZ)], axis=1)
        soundfile.write(folder / "flap.wav", np.tile(flap, 80).T, RATE_HZ)
        self.write()

    def write(self, more: str = "", journal: Path | None = None) -> None:
        """The configuration, and lines of it that a fault needs."""
        sources = "".join(f"  flap{number}: {{device: {self.folder}/flap.wav}}\n" for number in range(SOURCES))
        self.config.write_text(
            f"sources:\n{sources}model: {{file: {self.model}}}\n"
            "detection: {min_duration_s: 0.1, cooldown_s: 0.1, update_s: 0.5}\n"
            f"journal: {{path: {journal or self.journal}}}\n" + more
        )


@contextlib.contextmanager
def daemon(place: Place, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A `soundwatch run` of the place, killed at the end if it still lives."""
    command = [SOUNDWATCH, "run", "--config", str(place.config), *arguments]
    with (
        (place.folder / "said.log").open("ab") as said,
        (place.folder / "stdout.jsonl").open("ab") as out,
        subprocess.Popen(command, stdout=out, stderr=said, text=False, **options) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def until(seen: Callable[[], object], patience_s: float = WAIT_S) -> bool:
    """Whether something was seen in time."""
    until_s = time.monotonic() + patience_s
    while time.monotonic() < until_s:
        if seen():
            return True
        time.sleep(0.02)
    return False


def printed(place: Place) -> list[dict[str, Any]]:
    """All whole lines of standard output, over all runs."""
    text = (place.folder / "stdout.jsonl").read_bytes()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]


def said(place: Place) -> str:
    """The diary of all runs."""
    return (place.folder / "said.log").read_text(errors="replace")


def hears(place: Place, more: int = 10) -> bool:
    """Whether lines go on coming out."""
    before = len(printed(place))
    return until(lambda: len(printed(place)) >= before + more)


def kept(place: Place) -> list[dict[str, Any]]:
    """All lines of the journal."""
    journal = sqlite3.connect(f"{place.journal.as_uri()}?mode=ro", uri=True)
    try:
        return [json.loads(line) for (line,) in journal.execute("SELECT line FROM lines ORDER BY seq")]
    finally:
        journal.close()


def judge_lines(outcome: Outcome, lines: list[dict[str, Any]]) -> None:
    """What has to hold of lines, whatever happened: numbers, ends, and nothing that was never there."""
    events = [line for line in lines if line["type"] in ("start", "update", "end")]
    starts = [line["id"] for line in events if line["type"] == "start"]
    ends = [line["id"] for line in events if line["type"] == "end"]
    outcome.claims["numbers have no hole"] = [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    outcome.claims["every event ends once"] = sorted(starts) == sorted(ends) and len(set(ends)) == len(ends)
    outcome.claims["no wrong event"] = {line["class"] for line in events} <= {"low"} and all(
        line["offset"] is None or line["offset"] >= line["onset"] for line in events
    )
    outcome.seen |= {"lines": len(lines), "events": len(starts)}


def judge_file(outcome: Outcome, place: Place, lines: list[dict[str, Any]]) -> None:
    """What has to hold of a sink: every line, and twice only where that is marked."""
    had: set[int] = set()
    unmarked = repeated = torn = 0
    for text in place.events.read_bytes().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            torn += 1
            continue
        repeated += line["seq"] in had
        unmarked += line["seq"] in had and not line.get("repeated")
        had.add(line["seq"])
    outcome.claims["the file has every line"] = had == {line["seq"] for line in lines}
    outcome.claims["what is there twice says so"] = not unmarked
    outcome.seen |= {"repeated": repeated, "torn": torn}


def ends_well(outcome: Outcome, process: subprocess.Popen[bytes]) -> None:
    """Whether it ends when it is asked to, with success."""
    process.send_signal(signal.SIGTERM)
    try:
        outcome.claims["it ends when asked to"] = process.wait(WAIT_S) == 0
    except subprocess.TimeoutExpired:
        outcome.claims["it ends when asked to"] = False


def no_traceback(outcome: Outcome, place: Place) -> None:
    """Whether its user was shown no traceback."""
    outcome.claims["no traceback"] = "Traceback" not in said(place)


def kills(place: Place, times: int, seed: int = 7) -> Outcome:
    """`kill -9` at random moments of its life, its start included."""
    outcome, drawn = Outcome(f"kill -9 at {times} random moments under load"), random.Random(seed)  # noqa: S311
    place.write(f"sinks: [json, 'json:{place.events}']\n")
    for _ in range(times):
        with daemon(place) as process:
            time.sleep(drawn.uniform(0.2, 2.5))
            process.send_signal(signal.SIGKILL)
    with daemon(place) as process:
        outcome.claims["it starts again"] = hears(place)
        ends_well(outcome, process)
    lines = kept(place)
    judge_lines(outcome, lines)
    judge_file(outcome, place, lines)
    outcome.seen["interrupted"] = sum(line.get("reason") == "interrupted" for line in lines)
    no_traceback(outcome, place)
    return outcome


def damage(place: Place) -> Outcome:
    """The journal's file overwritten with garbage while it is in use."""
    outcome = Outcome("the journal's file overwritten with garbage while it is in use")
    place.write(f"sinks: [json, 'json:{place.events}']\n")
    with daemon(place) as process:
        outcome.claims["it heard before"] = hears(place)
        with place.journal.open("r+b") as file:
            file.write(os.urandom(place.journal.stat().st_size))
        outcome.claims["it goes on"] = hears(place, 100)
        ends_well(outcome, process)
    judge_lines(outcome, printed(place))
    judge_file(outcome, place, printed(place))
    with daemon(place) as process:  # where nothing had to be read from the file, the damage shows only now
        outcome.claims["it starts again"] = hears(place)
        ends_well(outcome, process)
    aside = list(place.folder.glob("journal.db.damaged-*"))
    outcome.claims["the file is put aside, loudly"] = bool(aside) and "journal_salvaged" in said(place)
    no_traceback(outcome, place)
    return outcome


@contextlib.contextmanager
def small_disk(folder: Path, options: str = "size=8m") -> Iterator[Path]:
    """A disk of its own.

    Raises:
        PermissionError: It takes root.
    """
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        raise PermissionError("a small disk cannot be mounted here: it takes root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def full_disk(place: Place) -> Outcome:
    """The disk of the journal and of a file of events fills up, and is emptied again."""
    outcome = Outcome("the disk of the journal and of a file full for a while")
    with small_disk(place.folder) as disk:
        place.journal, place.events = disk / "journal.db", disk / "events.jsonl"
        place.write(f"sinks: [json, 'json:{place.events}']\n")
        with daemon(place) as process:
            outcome.claims["it heard before"] = hears(place)
            with contextlib.suppress(OSError), (disk / "filler").open("wb") as filler:
                while True:
                    filler.write(bytes(4096))
                    filler.flush()
            outcome.claims["it goes on"] = hears(place, 100)
            outcome.claims["it says so"] = until(lambda: "sink_failed" in said(place))
            (disk / "filler").unlink()
            outcome.claims["the file works again"] = until(lambda: "sink_recovered" in said(place))
            ends_well(outcome, process)
        lines = kept(place)
        judge_lines(outcome, lines)
        judge_file(outcome, place, lines)
    no_traceback(outcome, place)
    return outcome


def read_only_disk(place: Place) -> Outcome:
    """A start on a disk that cannot be written to, as after a fault of the disk."""
    outcome = Outcome("started on a read-only disk")
    with small_disk(place.folder, "size=1m,ro") as disk:
        place.config.write_text(place.config.read_text().replace(f"journal: {{path: {place.journal}}}\n", ""))
        with daemon(place, env=os.environ | {"STATE_DIRECTORY": str(disk)}) as process:
            outcome.claims["it hears and tells"] = hears(place, 50)
            ends_well(outcome, process)
    outcome.claims["it says that nothing is kept"] = "journal_in_memory" in said(place)
    judge_lines(outcome, printed(place))
    no_traceback(outcome, place)
    return outcome


def little_memory(place: Place) -> Outcome:
    """No more memory than it has just now."""
    outcome = Outcome("no more memory to be had (RLIMIT_AS)")
    with daemon(place) as process:
        outcome.claims["it heard before"] = hears(place)
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0])
        most_bytes = pages * resource.getpagesize()
        resource.prlimit(process.pid, resource.RLIMIT_AS, (most_bytes, most_bytes))
        enough = len(printed(place)) + 100
        went_on = until(lambda: process.poll() is not None or len(printed(place)) >= enough)
        if process.poll() is None:
            ends_well(outcome, process)
            outcome.seen["came of it"] = "it went on" if went_on else "it stood still"
            outcome.claims["it goes on, or ends at once"] = went_on
        else:
            outcome.seen["came of it"] = f"it ended with code {process.returncode}"
            outcome.claims["it goes on, or ends at once"] = True
            # numpy's Fourier transform falls over where the system refuses it memory; then nobody can say anything
            told = "soundwatch: " in said(place)
            outcome.claims["it says why, or a signal ended it"] = told or process.returncode < 0
    with daemon(place) as process:
        outcome.claims["it starts again"] = hears(place)
        ends_well(outcome, process)
    judge_lines(outcome, kept(place))
    no_traceback(outcome, place)
    return outcome


def few_descriptors(place: Place) -> Outcome:
    """No more files may be opened for a while, in which its file of events is moved away."""
    outcome = Outcome("no more file descriptors for a while (RLIMIT_NOFILE)")
    place.write(f"sinks: [json, 'json:{place.events}']\n")
    with daemon(place) as process:
        outcome.claims["it heard before"] = hears(place)
        usual = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, usual[1]))
        moved = place.events.rename(place.folder / "moved.jsonl")
        outcome.claims["it goes on"] = hears(place, 50)
        outcome.claims["it says what fails"] = until(lambda: "Too many open files" in said(place))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, usual)
        outcome.claims["the file works again"] = until(lambda: "sink_recovered" in said(place))
        ends_well(outcome, process)
    place.events.write_bytes(moved.read_bytes() + place.events.read_bytes())
    lines = kept(place)
    judge_lines(outcome, lines)
    judge_file(outcome, place, lines)
    no_traceback(outcome, place)
    return outcome


def odd_surroundings(place: Place) -> Outcome:
    """A Turkish locale, no home, a folder whose name is no UTF-8, and no terminal."""
    outcome = Outcome("a locale, a home and a folder that are odd")
    odd = Path(os.fsdecode(os.fsencode(place.folder) + b"/\xe7\xe9 wide  space"))
    odd.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "tr_TR.ISO-8859-9",
        "LC_ALL": "POSIX",
        "HOME": "/no/such/home",
        "STATE_DIRECTORY": str(odd),
    }
    place.config = Path(shutil.copy(place.config, odd / "config.yaml"))
    place.journal = odd / "journal.db"
    with daemon(place, env=environment, cwd=odd, stdin=subprocess.DEVNULL) as process:
        outcome.claims["it hears and tells"] = hears(place, 50)
        ends_well(outcome, process)
    judge_lines(outcome, printed(place))
    no_traceback(outcome, place)
    return outcome


def names_unknown(place: Place) -> Outcome:
    """A broker and a webhook whose names nobody knows, as when DNS is gone."""
    outcome = Outcome("a broker and a webhook whose names cannot be resolved")
    nowhere = "no-such-host.invalid"
    place.write(f"sinks: [json, 'mqtt://{nowhere}', 'webhook:https://{nowhere}/hook']\n")
    with daemon(place) as process:
        outcome.claims["it hears and tells"] = hears(place, 100)
        outcome.claims["it says so, once for each"] = until(lambda: said(place).count("sink_failed") == 2)
        ends_well(outcome, process)
    lines = kept(place)
    judge_lines(outcome, lines)
    outcome.claims["all is kept for them"] = "lines_left_for_next_start" in said(place)
    no_traceback(outcome, place)
    return outcome


def silent_clients(place: Place, count: int = 1000) -> Outcome:
    """Clients that connect to the page's server and to a socket, and never say or read anything."""
    outcome = Outcome(f"{count} clients that connect and never read")
    page, port = free_port(), free_port()
    place.write(f"sinks: [json, 'http://127.0.0.1:{page}', 'tcp://127.0.0.1:{port}']\n")
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(usual[1], max(usual[0], 2 * count + 200)), usual[1]))
    try:
        with daemon(place) as process, contextlib.ExitStack() as clients:
            outcome.claims["it heard before"] = hears(place)
            before_kb = resident_kb(process.pid)
            for number in range(count):
                with contextlib.suppress(OSError):
                    to = (page, port)[number % 2]
                    clients.enter_context(socket.create_connection(("127.0.0.1", to), timeout=5))
            outcome.claims["it goes on"] = hears(place, 100)
            outcome.seen["MB more"] = round((resident_kb(process.pid) - before_kb) / 1000)
            outcome.claims["no more than 50 MB for them"] = resident_kb(process.pid) - before_kb < 50_000
            clients.close()
            outcome.claims["it serves again"] = until(lambda: answers(f"http://127.0.0.1:{page}/api/health"))
            ends_well(outcome, process)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    judge_lines(outcome, kept(place))
    no_traceback(outcome, place)
    return outcome


def endless_hooks(place: Place) -> Outcome:
    """A program run for each event that never ends and starts others."""
    outcome = Outcome("a hook that never ends and forks others")
    hook = place.folder / "hook"
    endless = f"sleep 987654.{os.getpid()}"  # nobody else's
    hook.write_text(f"#!/bin/sh\n{endless} &\n{endless} &\ntouch {place.folder}/ran\nwait\n")
    hook.chmod(0o755)
    place.write(f"sinks: [json, {{sink: 'command:{hook}', timeout_s: 1}}]\n")
    with daemon(place) as process:
        outcome.claims["it hears and tells"] = hears(place, 100)
        outcome.claims["the hook was run"] = until((place.folder / "ran").exists)
        most = 0
        for _ in range(50):
            most = max(most, len(running(endless)))
            time.sleep(0.05)
        outcome.seen["of its programs at once, at the most"] = most
        outcome.claims["only a few run at once"] = most <= 32
        ends_well(outcome, process)
    outcome.claims["none is left"] = until(lambda: not running(endless), 10)
    judge_lines(outcome, kept(place))
    no_traceback(outcome, place)
    return outcome


def resident_kb(pid: int) -> int:
    """Of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def answers(url: str) -> bool:
    """Whether a server says yes."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 -- our own
        return bool(answer.status == 200)
    return False


def running(command: str) -> list[int]:
    """The processes that were started with this command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() == command:
                found.append(int(folder.name))
    return found


FAULTS: Final = (
    *(damage, full_disk, read_only_disk, little_memory, few_descriptors, odd_surroundings),
    *(names_unknown, silent_clients, endless_hooks),
)
