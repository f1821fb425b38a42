"""Fault injection into a real `soundwatch run`, with the claims that have to hold.

Conventions: each function injects one fault into a daemon with `SOURCES` sources that switch on and off, about thirty
lines a second, and returns an `Outcome`, which names the claims that do not hold. Nothing is asserted here: the
benchmark fault_injection.py records the outcomes, and tests/end_to_end/test_fault_injection.py asserts them.
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


def kills(place: Place, times: int, seed: int = 7, *, warm: bool = False) -> Outcome:
    """Kill the program with SIGKILL at random moments, its start included; with `warm`, every second time later."""
    outcome, drawn = Outcome(f"kill -9 at {times} random moments under load"), random.Random(seed)  # noqa: S311
    place.write(f"sinks: [json, 'json:{place.events}']\n")
    for number in range(times):
        with daemon(place) as process:
            if warm and number % 2:
                continues(place, 1)
            time.sleep(drawn.uniform(0.2, 2.5))
            process.send_signal(signal.SIGKILL)
    with daemon(place) as process:
        outcome.claims["the program starts again"] = continues(place)
        check_end(outcome, process)
    lines = journal_lines(place)
    check_lines(outcome, lines)
    check_file(outcome, place, lines)
    outcome.seen["interrupted"] = sum(line.get("reason") == "interrupted" for line in lines)
    check_no_traceback(outcome, place)
    return outcome


def damage(place: Place) -> Outcome:
    """Overwrite the journal's file with random bytes while it is in use."""
    outcome = Outcome("the journal's file overwritten with random bytes while in use")
    place.write(f"sinks: [json, 'json:{place.events}']\n")
    with daemon(place) as process:
        outcome.claims["the program detected sounds before"] = continues(place)
        with place.journal.open("r+b") as file:
            file.write(os.urandom(place.journal.stat().st_size))
        outcome.claims["detection continues"] = continues(place, 40)
        check_end(outcome, process)
    check_lines(outcome, printed(place))
    check_file(outcome, place, printed(place))
    with daemon(place) as process:  # damage that was not read before shows at this start
        outcome.claims["the program starts again"] = continues(place)
        check_end(outcome, process)
    aside = list(place.folder.glob("journal.db.damaged-*"))
    outcome.claims["the damaged file is kept and logged"] = bool(aside) and "journal_salvaged" in log_text(place)
    check_no_traceback(outcome, place)
    return outcome


@contextlib.contextmanager
def small_disk(folder: Path, options: str = "size=8m") -> Iterator[Path]:
    """Mount a small file system.

    Raises:
        PermissionError: Mounting needs root.
    """
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        raise PermissionError("a small disk cannot be mounted: that needs root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def full_disk(place: Place) -> Outcome:
    """Fill the disk of the journal and of a file of events, and empty it again."""
    outcome = Outcome("the disk of the journal and of a file temporarily full")
    with small_disk(place.folder) as disk:
        place.journal, place.events = disk / "journal.db", disk / "events.jsonl"
        place.write(f"sinks: [json, 'json:{place.events}']\n")
        with daemon(place) as process:
            outcome.claims["the program detected sounds before"] = continues(place)
            with contextlib.suppress(OSError), (disk / "filler").open("wb") as filler:
                while True:
                    filler.write(bytes(4096))
                    filler.flush()
            outcome.claims["detection continues"] = continues(place, 40)
            outcome.claims["the failure is logged"] = until(lambda: "sink_failed" in log_text(place))
            (disk / "filler").unlink()
            outcome.claims["the file recovers"] = until(lambda: "sink_recovered" in log_text(place))
            check_end(outcome, process)
        lines = journal_lines(place)
        check_lines(outcome, lines)
        check_file(outcome, place, lines)
    check_no_traceback(outcome, place)
    return outcome


def read_only_disk(place: Place) -> Outcome:
    """Start on a read-only disk, as after a disk fault."""
    outcome = Outcome("started on a read-only disk")
    with small_disk(place.folder, "size=1m,ro") as disk:
        place.config.write_text(place.config.read_text().replace(f"journal: {{path: {place.journal}}}\n", ""))
        with daemon(place, env=os.environ | {"STATE_DIRECTORY": str(disk)}) as process:
            outcome.claims["the program detects and reports sounds"] = continues(place, 50)
            check_end(outcome, process)
    outcome.claims["the missing journal is logged"] = "journal_in_memory" in log_text(place)
    check_lines(outcome, printed(place))
    check_no_traceback(outcome, place)
    return outcome


def memory_limit(place: Place) -> Outcome:
    """Limit the memory to its present size."""
    outcome = Outcome("no further memory (RLIMIT_AS)")
    with daemon(place) as process:
        outcome.claims["the program detected sounds before"] = continues(place)
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0])
        limit_bytes = pages * resource.getpagesize()
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit_bytes, limit_bytes))
        enough = len(printed(place)) + 40
        continued = until(lambda: process.poll() is not None or len(printed(place)) >= enough)
        if process.poll() is None:
            check_end(outcome, process)
            outcome.seen["result"] = "detection continued" if continued else "detection stopped"
            outcome.claims["detection continues or the program ends"] = continued
        else:
            outcome.seen["result"] = f"the program ended with code {process.returncode}"
            outcome.claims["detection continues or the program ends"] = True
            # numpy's Fourier transform crashes if the system refuses memory; then there is no message
            has_message = "soundwatch: " in log_text(place)
            outcome.claims["the reason is logged, or a signal ended the program"] = (
                has_message or process.returncode < 0
            )
    with daemon(place) as process:
        outcome.claims["the program starts again"] = continues(place)
        check_end(outcome, process)
    check_lines(outcome, journal_lines(place))
    check_no_traceback(outcome, place)
    return outcome


def descriptor_limit(place: Place) -> Outcome:
    """Refuse new file descriptors for a time in which the file of events is moved."""
    outcome = Outcome("temporarily no further file descriptors (RLIMIT_NOFILE), and a camera that is away")
    camera = "  camera: {device: 'pcm+tcp://localhost:9'}\n"
    place.write(f"sinks: [json, 'json:{place.events}']\n", sources=camera)
    with daemon(place) as process:
        outcome.claims["the program detected sounds before"] = continues(place)
        usual = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, usual[1]))
        moved = place.events.rename(place.folder / "moved.jsonl")
        outcome.claims["detection continues"] = continues(place, 50)
        outcome.claims["the failure is logged"] = until(lambda: "Too many open files" in log_text(place))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, usual)
        outcome.claims["the file recovers"] = until(lambda: "sink_recovered" in log_text(place))
        check_end(outcome, process)
    place.events.write_bytes(moved.read_bytes() + place.events.read_bytes())
    lines = journal_lines(place)
    check_lines(outcome, lines)
    check_file(outcome, place, lines)
    check_no_traceback(outcome, place)
    return outcome


def unusual_environment(place: Place) -> Outcome:
    """Run with a Turkish locale, without home and terminal, in a folder whose name is no UTF-8."""
    outcome = Outcome("an unusual locale, home and folder name")
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
        outcome.claims["the program detects and reports sounds"] = continues(place, 50)
        check_end(outcome, process)
    check_lines(outcome, printed(place))
    check_no_traceback(outcome, place)
    return outcome


def unknown_hosts(place: Place) -> Outcome:
    """Use a broker and a webhook whose names cannot be resolved."""
    outcome = Outcome("a broker and a webhook whose names cannot be resolved")
    host = "no-such-host.invalid"
    place.write(f"sinks: [json, 'mqtt://{host}', 'webhook:https://{host}/hook']\n")
    with daemon(place) as process:
        outcome.claims["the program detects and reports sounds"] = continues(place, 40)
        outcome.claims["the failure is logged once for each sink"] = until(
            lambda: log_text(place).count("sink_failed") == 2
        )
        check_end(outcome, process)
    lines = journal_lines(place)
    check_lines(outcome, lines)
    outcome.claims["their lines stay in the journal"] = "lines_left_for_next_start" in log_text(place)
    check_no_traceback(outcome, place)
    return outcome


def silent_clients(place: Place, count: int = 1000) -> Outcome:
    """Connect clients to the page's server and to a socket that send and read nothing."""
    outcome = Outcome(f"{count} clients that connect and never read")
    page, port = free_port(), free_port()
    place.write(f"sinks: [json, 'http://127.0.0.1:{page}', 'tcp://127.0.0.1:{port}']\n")
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(usual[1], max(usual[0], 2 * count + 200)), usual[1]))
    try:
        with daemon(place) as process, contextlib.ExitStack() as clients:
            outcome.claims["the program detected sounds before"] = continues(place)
            before_kb = resident_kb(process.pid)
            for number in range(count):
                with contextlib.suppress(OSError):
                    to = (page, port)[number % 2]
                    clients.enter_context(socket.create_connection(("127.0.0.1", to), timeout=5))
            outcome.claims["detection continues"] = continues(place, 40)
            outcome.seen["additional MB"] = round((resident_kb(process.pid) - before_kb) / 1000)
            outcome.claims["at most 50 MB for the clients"] = resident_kb(process.pid) - before_kb < 50_000
            clients.close()
            outcome.claims["the page is served again"] = until(lambda: responds(f"http://127.0.0.1:{page}/api/health"))
            check_end(outcome, process)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    check_lines(outcome, journal_lines(place))
    check_no_traceback(outcome, place)
    return outcome


def endless_hooks(place: Place) -> Outcome:
    """Run a program for each event that never ends and starts other processes."""
    outcome = Outcome("a hook that never ends and starts other processes")
    hook = place.folder / "hook"
    endless = f"sleep 987654.{os.getpid()}"  # a command of this test only
    hook.write_text(f"#!/bin/sh\n{endless} &\n{endless} &\ntouch {place.folder}/ran\nwait\n")
    hook.chmod(0o755)
    place.write(f"sinks: [json, {{sink: 'command:{hook}', timeout_s: 1}}]\n")
    with daemon(place) as process:
        outcome.claims["the program detects and reports sounds"] = continues(place, 40)
        outcome.claims["the hook was run"] = until((place.folder / "ran").exists)
        maximum = 0
        for _ in range(50):
            maximum = max(maximum, len(running(endless)))
            time.sleep(0.05)
        outcome.seen["processes of the hook, maximum"] = maximum
        outcome.claims["at most 32 processes run simultaneously"] = maximum <= 32
        check_end(outcome, process)
    outcome.claims["no process remains"] = until(lambda: not running(endless), 10)
    check_lines(outcome, journal_lines(place))
    check_no_traceback(outcome, place)
    return outcome


def resident_kb(pid: int) -> int:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def responds(url: str) -> bool:
    """Return True if a server responds with status 200."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 -- our own
        return bool(answer.status == 200)
    return False


def running(command: str) -> list[int]:
    """Return the processes with this command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() == command:
                found.append(int(folder.name))
    return found


FAULTS: Final = (
    *(damage, full_disk, read_only_disk, memory_limit, descriptor_limit, unusual_environment),
    *(unknown_hosts, silent_clients, endless_hooks),
)
