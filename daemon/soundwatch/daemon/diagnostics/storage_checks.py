"""Checks of the journal and the sinks."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.clip_files import clips_folder
from soundwatch.daemon.core.errors import ConfigError, StoreError
from soundwatch.daemon.core.unfinished import unfinished_files
from soundwatch.daemon.diagnostics.finding import CheckInput, Finding, State
from soundwatch.daemon.journal.events import find_damage, journal_totals
from soundwatch.daemon.journal.location import journal_path
from soundwatch.daemon.journal.store import DISK_BYTES, JournalStore
from soundwatch.daemon.sinks.kinds import OUTPUT_KINDS, parse_sink, sink_port, sink_url
from soundwatch.daemon.sinks.spec import SinkSpec

ANSWERING_S: Final = 3.0


def check_journal(case: CheckInput) -> Iterator[Finding]:
    """Check that the journal file is valid, and that the disk has room."""
    if case.config is None:
        return
    path = journal_path(case.config.journal)
    if not isinstance(path, Path):
        yield Finding("journal", "note", "Events are kept in memory only.")
        return
    folder = next(parent for parent in (path.parent, *path.parents) if parent.is_dir())
    if not os.access(folder, os.W_OK):
        yield Finding("journal", "fault", f"This user may not write to {folder}.", "Give another journal.path.")
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < DISK_BYTES:
        todo = "Free some space. Until then the oldest lines are deleted for new ones, and clips cannot be written."
        yield Finding("journal", "fault", f"The disk of {folder} has {free_bytes / 1e6:.1f} MB left.", todo)
    if path.exists():
        yield from _of_file(path)
    else:
        yield Finding("journal", "note", f"{path} does not exist yet; `soundwatch run` creates it.")
    for damaged in sorted(path.parent.glob(f"{path.name}.damaged-*")):
        if damaged.suffix not in ("-wal", "-shm"):
            yield Finding(
                "journal",
                "note",
                f"{damaged} is a damaged journal of an earlier start.",
                "Delete the file if it is not needed.",
            )


def check_unfinished(case: CheckInput) -> Iterator[Finding]:
    """Name files that a killed process left in the folders of the configuration, the journal and the clips."""
    folders = [] if case.path is None else [case.path.parent]
    if case.config is not None:
        journal = journal_path(case.config.journal)
        folders += [journal.parent] if isinstance(journal, Path) else []
        clips = clips_folder(case.config.clips)
        folders += [] if clips is None else [clips]
    for folder in dict.fromkeys(folder.absolute() for folder in folders if folder.is_dir()):
        for path in unfinished_files(folder):
            yield Finding(
                "storage",
                "warning",
                f"{path} is a part of a file, a backup or a restore of a process that was killed.",
                "Delete it. It may hold the configuration, events or clips.",
            )


def _of_file(path: Path) -> Iterator[Finding]:
    try:
        store = JournalStore(path, writing=False)
        damage, totals = find_damage(store), journal_totals(store)
        behind = {name: store.last_seq() - cursor.delivered for name, cursor in store.cursors().items()}
    except (StoreError, sqlite3.Error) as error:
        yield Finding("journal", "fault", f"{path}: {error}", "The next start salvages readable lines.")
        return
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    state: State = "ok" if damage is None else "fault"
    span = f", {totals.oldest} to {totals.newest}" if totals.lines else ""
    yield Finding("journal", state, f"{path}: {totals.lines} lines{span}, {size}, {damage or 'ok'}")
    for name, lines in behind.items():
        if lines:
            yield Finding("journal", "note", f"{lines} lines are kept for {name}, which has not written them yet.")


def check_sinks(case: CheckInput) -> Iterator[Finding]:
    """Check that the address of each sink answers, or that its folder is writable."""
    for text in () if case.config is None else case.config.sinks:
        try:
            spec = parse_sink(text)
        except ConfigError:
            continue  # a finding of `check_configuration`
        yield _reached(spec)


def _reached(spec: SinkSpec) -> Finding:
    url = sink_url(spec)
    if url is None or not url.hostname:
        return _written(spec)
    shown, port = f"{spec.kind} at {url.hostname}", sink_port(spec) or 0
    try:
        with socket.create_connection((url.hostname, port), ANSWERING_S):
            return Finding("sinks", "ok", f"{shown}, port {port}, answers.")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        todo = "Start it, or correct its address. Lines are kept for it until it answers."
        return Finding("sinks", "warning", f"{shown} does not answer: {reason}.", todo)


def _written(spec: SinkSpec) -> Finding:
    if not spec.target:
        return Finding("sinks", "ok", "standard output")
    path = Path(spec.target.split(" ", 1)[0])
    place = path if path.exists() else path.parent
    if os.access(place, os.X_OK if OUTPUT_KINDS[spec.kind].reach == "program" else os.W_OK):
        return Finding("sinks", "ok", f"{spec.kind} {path}")
    return Finding("sinks", "fault", f"{spec.kind} {path} cannot be used by this user.", "Correct its path or rights.")
