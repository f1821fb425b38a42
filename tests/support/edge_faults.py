"""Faults at the edges of a real `soundwatch run`: its log, its outputs and the lines of its journal.

Conventions: as in `fault_injection.py`. Each has tests of its own; the benchmark shows them next to the others.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
from typing import Final

from support.fault_harness import (
    SOUNDWATCH,
    Outcome,
    Place,
    check_end,
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
from support.hung_disk import hung_disk


def unread_log(place: Place) -> Outcome:
    """Fill the pipe of standard error, which nobody reads."""
    outcome = Outcome("a log that nobody reads (a full pipe)")
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    os.write(writing, bytes(4096))
    os.set_blocking(writing, True)
    place.write("log: {level: debug}\n")
    command = [SOUNDWATCH, "run", "--config", str(place.config)]
    with (
        (place.folder / "stdout.jsonl").open("ab") as out,
        subprocess.Popen(command, stdout=out, stderr=writing) as process,
    ):
        outcome.claims["detection continues"] = continues(place, 100)
        check_end(outcome, process)
        process.kill()
    os.close(reading)
    os.close(writing)
    check_lines(outcome, journal_lines(place))
    return outcome


def pipe_without_reader(place: Place) -> Outcome:
    """Write events to a named pipe without a reader; a reader comes later."""
    outcome = Outcome("a named pipe without a reader, at the start and at a reload")
    pipe = place.folder / "pipe"
    os.mkfifo(pipe)
    place.write(f"sinks: [json, 'json:{pipe}']\n")
    with daemon(place) as process:
        outcome.claims["detection continues"] = continues(place, 50)
        outcome.claims["the failure is logged"] = until(lambda: "sink_failed" in log_text(place))
        place.write(f"sinks: [json, 'json:{pipe}', 'json:{place.events}']\n")
        process.send_signal(signal.SIGHUP)
        outcome.claims["the reload is done"] = until(lambda: '"reloaded"' in log_text(place))
        with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
            outcome.claims["the pipe recovers"] = until(lambda: "sink_recovered" in log_text(place))
            check_end(outcome, process)
            lines = reader.communicate()[0].splitlines()
    outcome.claims["the reader has every line"] = len(lines) == len(journal_lines(place))
    check_lines(outcome, journal_lines(place))
    check_no_traceback(outcome, place)
    return outcome


def hung_file_system(place: Place) -> Outcome:
    """Let the file system of a file of events hang, at the start, at a reload and at the end."""
    outcome = Outcome("a file system that hangs (a network share), at the start, at a reload and at the end")
    share = place.folder / "share"
    share.mkdir()
    place.events = share / "events.jsonl"
    place.write(f"sinks: [json, 'json:{place.events}']\n")
    with hung_disk(share) as release, daemon(place) as process:
        outcome.claims["detection continues"] = continues(place, 50)
        place.write(f"sinks: [json, 'json:{place.events}', 'json:{place.folder}/other.jsonl']\n")
        process.send_signal(signal.SIGHUP)
        outcome.claims["the reload is done"] = until(lambda: '"reloaded"' in log_text(place))
        check_end(outcome, process)
        release()
    with daemon(place) as process:
        outcome.claims["the program starts again"] = continues(place)
        check_end(outcome, process)
    check_files(outcome, place)
    return outcome


def deleted_journal(place: Place) -> Outcome:
    """Delete the journal's file while it is in use."""
    outcome = Outcome("the journal's file deleted while in use")
    place.write(f"sinks: [json, 'json:{place.events}']\n")
    with daemon(place) as process:
        outcome.claims["the program detected sounds before"] = continues(place)
        for suffix in ("", "-wal", "-shm"):
            place.journal.with_name(place.journal.name + suffix).unlink(missing_ok=True)
        outcome.claims["detection continues"] = continues(place, 50)
        outcome.claims["the loss is logged"] = until(lambda: "journal_restored" in log_text(place))
        check_end(outcome, process)
    check_files(outcome, place)
    return outcome


def flipped_bit(place: Place) -> Outcome:
    """Kill the program, and flip a bit in the journal's line of an event that is open."""
    outcome = Outcome("one flipped bit in a line of an open event, after kill -9")
    place.write(f"sinks: [json, 'json:{place.events}']\n")
    with daemon(place) as process:
        outcome.claims["the program detected sounds before"] = continues(place)
        until(lambda: printed(place)[-1]["type"] in ("start", "update"))
        process.send_signal(signal.SIGKILL)
    with sqlite3.connect(place.journal) as db:
        seq, line = db.execute("SELECT seq, line FROM lines WHERE type = 'start' ORDER BY seq DESC LIMIT 1").fetchone()
        db.execute("UPDATE lines SET line = ? WHERE seq = ?", (bytes([line[0] ^ 1]) + line[1:], seq))
    db.close()
    with daemon(place) as process:
        outcome.claims["the program starts again"] = continues(place)
        check_end(outcome, process)
    outcome.claims["the lost line is logged"] = "journal_salvaged" in log_text(place)
    seqs = [line["seq"] for line in journal_lines(place)]
    outcome.claims["only that line is missing"] = seqs == [number for number in range(1, seqs[-1] + 1) if number != seq]
    check_no_traceback(outcome, place)
    return outcome


EDGE_FAULTS: Final = (unread_log, pipe_without_reader, hung_file_system, deleted_journal, flipped_bit)
