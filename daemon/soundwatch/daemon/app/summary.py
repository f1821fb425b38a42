"""Summary of a run, for the log at its end: the events, where they are stored, and how to read them.

Does not: log or count (`status/snapshot.py`).
"""

from __future__ import annotations

import shlex
from collections import Counter

from soundwatch.daemon.core.config import JournalConfig
from soundwatch.daemon.journal.location import journal_path
from soundwatch.daemon.journal.sqlite import MEMORY
from soundwatch.daemon.status.snapshot import StatusSnapshot


def run_summary(snapshot: StatusSnapshot, journal: JournalConfig) -> dict[str, str]:
    """Return the fields of the log event `finished`.

    Args:
        snapshot: State at the end of the run.
        journal: Configuration of the journal.

    Returns:
        `events`: number of events by class; `journal`: path; `read`: the command that prints the events.
    """
    counts = Counter[str]()
    for source in snapshot.sources.values():
        counts.update(source.events)
    events = ", ".join(f"{label} {count}" for label, count in counts.most_common()) or "none"
    path = journal_path(journal)
    if path == MEMORY:
        return {"events": events, "journal": "memory: not stored"}
    named = "" if journal.path is None else f" --journal {shlex.quote(str(path))}"
    starts = [source.hello.stream_start for source in snapshot.sources.values() if source.hello is not None]
    since = f" --since {min(starts)}" if starts else ""
    return {"events": events, "journal": str(path), "read": f"soundwatch tail{named}{since}"}
