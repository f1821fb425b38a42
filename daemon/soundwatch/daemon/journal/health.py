"""Health of the journal, as lines and as log entries.

Conventions: a change is reported once. `dropped_lines` counts all lines that were lost so far, for whatever reason.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.events.health_schema import JournalHealthLine
from soundwatch.daemon.events.schema import UNNUMBERED
from soundwatch.daemon.journal.store import JournalStore

DROPPING_ENDS_S: Final = 120.0  # after the last dropped line
DISK_FULL: Final = "the disk is full: the oldest lines make room for new ones"


class _Health(msgspec.Struct):
    """Part of a `health` line."""

    state: str
    sink: str | None = None


def last_states(store: JournalStore, reason: Literal["sink", "journal"]) -> dict[str | None, str]:
    """Return the state in the last `health` line of a reason, by name of the sink; None for lines without a sink."""
    query = "SELECT line FROM lines WHERE type = 'health' AND instr(CAST(line AS TEXT), ?) ORDER BY seq"
    found = dict[str | None, str]()
    for (line,) in store.query(query, f'"reason":"{reason}"'):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):  # a damaged line
            health = msgspec.json.decode(line, type=_Health)
            found[health.sink] = health.state
    return found


class JournalHealth:
    """State of the file and of its lines.

    Args:
        store: The file.
        node: Name of this machine.
        log: The log.
        append: Takes a line.

    Attributes:
        dropped_lines: Number of lines that were lost so far.
    """

    def __init__(
        self,
        store: JournalStore,
        node: str,
        log: Logger,
        append: Callable[[JournalHealthLine], object],
    ) -> None:
        self.dropped_lines = 0
        self._store = store
        self._node = node
        self._log = log
        self._append = append
        self._dropping = last_states(store, "journal").get(None) == "failing"  # of an earlier run
        self._dropped_s = time.monotonic()

    def failed(self, error: Exception) -> None:
        """Report that the file cannot be written."""
        self._log.warning("journal_failed", error=str(error))
        self._report("failing", f"the journal cannot be written: {error}; lines are kept in memory")

    def recovered(self) -> None:
        """Report that the file is written again."""
        self._log.info("journal_recovered")
        self._report("working", "the journal is written again")

    def dropped(self, lines: int, reason: str = DISK_FULL) -> None:
        """Count lines that were removed before their time, and report the first of them."""
        if not lines:
            return
        self.dropped_lines += lines
        self._dropped_s = time.monotonic()
        if not self._dropping:
            self._dropping = True
            self._log.warning("journal_lines_dropped", lines=lines, reason=reason)
            self._report("failing", reason)

    def check(self) -> None:
        """Report salvage, restoration, and room that is there again."""
        if self._store.salvaged is not None:
            self._salvaged()
        if self._store.restored:
            self._store.restored = False
            path = str(self._store.path)
            self._log.warning("journal_restored", file=path)
            self._report("working", f"{path} was deleted or replaced while it was open; it has been written again")
        if self._dropping and time.monotonic() >= self._dropped_s + DROPPING_ENDS_S:
            self._dropping = False
            self._log.info("journal_dropping_ended")
            self._report("working", "the journal has room again")

    def _salvaged(self) -> None:
        result, self._store.salvaged = self._store.salvaged, None
        assert result is not None
        path = str(self._store.quarantined_path)
        self.dropped_lines += result.unreadable_lines
        self._log.warning(
            "journal_salvaged", lines=result.lines, unreadable_lines=result.unreadable_lines, damaged_file=path
        )
        self._report(
            "working",
            f"the journal was damaged: {result.lines} lines were copied to a new file, {result.unreadable_lines} could "
            f"not be read; the damaged file is {path}",
        )

    def _report(self, state: Literal["failing", "working"], detail: str) -> None:
        self._append(
            JournalHealthLine(
                seq=UNNUMBERED,
                time=format_utc(time.time_ns()),
                node=self._node,
                state=state,
                detail=detail,
                dropped_lines=self.dropped_lines,
            )
        )
