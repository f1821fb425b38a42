"""The daemon's own logger with its entries kept in memory."""

from __future__ import annotations

from typing import Any

from soundwatch.daemon.system.log import Level, LogEntry, StructuredLogger


class MemoryLogger(StructuredLogger):
    """The real logger; its entries can be read.

    Args:
        level: The lowest level that is kept.
    """

    def __init__(self, level: Level = "debug") -> None:
        self.entries: list[LogEntry] = []
        super().__init__(level, self.entries.append)

    @property
    def events(self) -> list[str]:
        """Return the events so far."""
        return [entry.event for entry in self.entries]

    @property
    def written(self) -> list[tuple[str, dict[str, Any]]]:
        """Return every entry's event and fields."""
        return [(entry.event, dict(entry.fields)) for entry in self.entries]

    def fields(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of every entry of an event."""
        return [dict(entry.fields) for entry in self.entries if entry.event == event]
