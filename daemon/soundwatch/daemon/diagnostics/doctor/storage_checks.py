"""Checks of the journal and the sinks."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from soundwatch.daemon.config.clips_folder import clips_folder
from soundwatch.daemon.core.errors import ConfigError, StoreError
from soundwatch.daemon.core.files.paths import is_file, is_folder, is_there, literal_path
from soundwatch.daemon.core.files.unfinished import unfinished_files
from soundwatch.daemon.core.text.messages import counted
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, Finding, State
from soundwatch.daemon.journal.location import journal_path
from soundwatch.daemon.journal.queries.events import find_damage, journal_totals
from soundwatch.daemon.journal.store import DISK_BYTES, JournalStore
from soundwatch.daemon.sinks.kinds import OUTPUT_KINDS, parse_sink, sink_port, sink_url
from soundwatch.daemon.sinks.spec import SinkSpec

ANSWERING_S: Final = 3.0
ONE_PROGRAM: Final = (
    "A `command:` sink takes the path of one program, without arguments. Correct the path, or name a script that runs "
    "the program with its arguments."
)


def check_journal(case: CheckInput) -> Iterator[Finding]:
    """Check that the journal file is valid, and that the disk has room."""
    if case.config is None:
        return
    try:
        path = journal_path(case.config.journal)
    except StoreError as error:
        yield Finding("journal", "fault", str(error), "Give another journal.path.")
        return
    if not isinstance(path, Path):
        yield Finding("journal", "note", "Events are kept in memory only.")
        return
    yield from _room_for(path)
    blocking = next((parent for parent in path.parents if is_there(parent) and not is_folder(parent)), None)
    if blocking is not None or (is_there(path) and not is_file(path)):
        seen = f"{path} cannot be the journal: {blocking or path} is no {'folder' if blocking else 'regular file'}."
        yield Finding("journal", "fault", seen, "Give another journal.path.")
    elif is_there(path):
        yield from _of_file(path)
    else:
        yield Finding("journal", "note", f"{path} does not exist yet; `soundwatch run` creates it.")
    for damaged in sorted(path.parent.glob(f"{path.name}.damaged-*")):
        if damaged.suffix not in ("-wal", "-shm"):
            seen = f"{damaged} is a damaged journal of an earlier start."
            yield Finding("journal", "note", seen, "Delete the file if it is not needed.")


def _room_for(path: Path) -> Iterator[Finding]:
    """Check that this user may write to the folder of a journal, or to the nearest one above it, which needs room."""
    folder = next(parent for parent in (path.parent, *path.absolute().parents) if is_folder(parent))
    if not os.access(folder, os.W_OK):
        yield Finding("journal", "fault", f"This user may not write to {folder}.", "Give another journal.path.")
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < DISK_BYTES:
        todo = "Free some space. Until then the oldest lines are deleted for new ones, and clips cannot be written."
        yield Finding("journal", "fault", f"The disk of {folder} has {free_bytes / 1e6:.1f} MB left.", todo)


def check_unfinished(case: CheckInput) -> Iterator[Finding]:
    """Name files that a killed process left in the folders of the configuration, the journal and the clips."""
    folders = [] if case.path is None else [case.path.parent]
    if case.config is not None:
        with contextlib.suppress(StoreError):  # a finding of `check_journal`
            journal = journal_path(case.config.journal)
            folders += [journal.parent] if isinstance(journal, Path) else []
        try:
            clips = clips_folder(case.config.clips)
            folders += [] if clips is None else [clips]
        except ConfigError as error:
            yield Finding("storage", "fault", str(error), "Give another clips.folder.")
    for folder in dict.fromkeys(folder.absolute() for folder in folders if is_folder(folder)):
        try:
            unfinished = unfinished_files(folder)
        except OSError as error:
            seen = f"{folder} cannot be read: {error.strerror}."
            yield Finding("storage", "warning", seen, "Run this command as the user of soundwatch.")
            continue
        for path in unfinished:
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
        size = f"{path.stat().st_size / 1e6:.1f} MB"
    except (StoreError, sqlite3.Error, OSError) as error:
        yield Finding("journal", "fault", f"{path}: {error}", "The next start salvages readable lines.")
        return
    state: State = "ok" if damage is None else "fault"
    span = f", {totals.oldest} to {totals.newest}" if totals.lines else ""
    yield Finding("journal", state, f"{path}: {counted(totals.lines, 'line')}{span}, {size}, {damage or 'ok'}")
    for name, lines in behind.items():
        if lines:
            kept = f"{counted(lines, 'line')} {'is' if lines == 1 else 'are'} kept"
            yield Finding("journal", "note", f"{kept} for {name}, not written there yet.")


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
    path, todo = literal_path(spec.target), "Correct its path or rights."
    program = OUTPUT_KINDS[spec.kind].reach == "program"
    # The text after a space may be a secret, as an option of a program, where it is no part of a file's name
    shown = f"{spec.kind} {path if is_there(path) else str(path).split(' ', 1)[0]}"
    try:
        path.stat()
        place = path
    except FileNotFoundError:
        if program and " " in str(path):
            alone = is_there(Path(str(path).split(" ", 1)[0]))
            seen = f"{shown} {'is followed by arguments' if alone else 'is not there'}."
            return Finding("sinks", "fault", seen, ONE_PROGRAM)
        if program:
            return Finding("sinks", "fault", f"{shown} is not there.", todo)
        place = path.parent
    except OSError as error:
        return Finding("sinks", "fault", f"{shown} cannot be used: {error.strerror}.", todo)
    if is_folder(path):
        return Finding("sinks", "fault", f"{shown} is a folder.", todo)
    if os.access(place, os.X_OK if program else os.W_OK):
        return Finding("sinks", "ok", shown)
    return Finding("sinks", "fault", f"{shown} cannot be used by this user.", todo)
