"""Faults of limits, networks, clients and programs that are injected into a real `soundwatch run`.

The benchmark fault_injection.py records the outcomes, and tests/end_to_end/test_fault_injection.py asserts them.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Final

from support.disk_faults import damage, full_disk, read_only_disk
from support.fault_harness import (
    Outcome,
    Place,
    check_end,
    check_file,
    check_files,
    check_lines,
    check_no_traceback,
    continues,
    daemon,
    journal_lines,
    log_text,
    printed,
    until,
)
from support.ports import free_port

ON_S, OFF_S = 0.7, 0.8


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
            # libraries may crash if the system refuses memory; then there is no message
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
    check_files(outcome, place)
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
