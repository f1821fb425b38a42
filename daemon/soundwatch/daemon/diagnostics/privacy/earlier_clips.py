"""Finds clips of earlier runs outside the configured folder.

Source: the `clip` lines of the journal, and the folders that it keeps of removed lines.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

import msgspec

from soundwatch.daemon.clips.clip_names import list_clips, list_pictures, picture_path
from soundwatch.daemon.config.config import JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.core.files.paths import is_file, is_there
from soundwatch.daemon.journal.location import journal_path
from soundwatch.daemon.journal.queries.events import clip_folders
from soundwatch.daemon.journal.queries.query import LineFilter, read_lines
from soundwatch.daemon.journal.store import JournalStore


def earlier_clips(config: JournalConfig, folder: str | None) -> dict[str, int]:
    """Count the clips that exist outside the configured folder.

    Args:
        config: The journal.
        folder: Configured folder of the clips; None if no clips are recorded.

    Returns:
        Number of clips by folder, with pictures whose clip is gone; empty if the journal cannot be read, which
        `audit_journal` reports.
    """
    try:
        path = journal_path(config)
        if not isinstance(path, Path) or not is_there(path):
            return {}
        store = JournalStore(path, writing=False)
        lines = [msgspec.json.decode(entry.line) for entry in read_lines(store, LineFilter(types=("clip",)))]
        folders = clip_folders(store)
        store.close()
    except (StoreError, sqlite3.Error):
        return {}
    current = None if folder is None else _resolved(Path(folder))
    recorded = [Path(line["path"]) for line in lines if line.get("path") and Path(line["path"]).name]
    files = {_resolved(clip if is_there(clip) else picture_path(clip)) for clip in recorded}
    for earlier in folders:
        with contextlib.suppress(OSError):  # as of another user
            clips = {clip.path for clip in list_clips(Path(earlier))}
            pictures = list_pictures(Path(earlier)) - {picture_path(clip) for clip in clips}
            files |= {_resolved(path) for path in clips | pictures}
    counts = Counter(str(file.parent) for file in files if file.parent != current and is_file(file))
    return dict(sorted(counts.items()))


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a closed folder, or a loop of links
        return path.absolute()
