"""Faults of the journal's file and of its disk, injected into a real `soundwatch run`."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

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
    log_text,
    printed,
    until,
)


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
        check_files(outcome, place)
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
