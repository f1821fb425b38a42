"""The log on standard error: pretty on a terminal, journal fields under systemd, JSON elsewhere.

Conventions: an entry is an event in snake_case and fields with units in their names.
Source: structlog's two renderings. Importing structlog takes 13 MB and 60 ms, for four methods that print a line.
Does not: keep, rotate or send entries; the process that starts the program does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from soundwatch.daemon.core.clock import format_datetime
from soundwatch.daemon.core.config import LogConfig
from soundwatch.daemon.system import journald

Level = Literal["debug", "info", "warning", "error"]

_LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error")
_COLORS: Final = {"debug": "32", "info": "32", "warning": "33", "error": "31"}
_RESERVED: Final = ("event", "level", "timestamp")


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry.

    Attributes:
        level: Severity.
        event: Name of the event.
        fields: What varies; a name that the JSON form reserves has `_` appended.
        timestamp: Time in UTC, ISO 8601 with `Z`.
    """

    level: Level
    event: str
    fields: Mapping[str, object]
    timestamp: str


class StructuredLogger:
    """A logger that hands every entry at or above a level to one function.

    Args:
        level: The lowest level that is written.
        write: Takes an entry.
    """

    def __init__(self, level: Level, write: Callable[[LogEntry], object]) -> None:
        self._minimum = _LEVELS.index(level)
        self._write_entry = write

    def debug(self, event: str, /, **fields: object) -> None:
        """Log details for finding a fault."""
        self._write("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Log normal operation, recovery included."""
        self._write("info", event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Log a condition that a person may want to correct."""
        self._write("warning", event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Log a loss of data or function."""
        self._write("error", event, fields)

    def _write(self, level: Level, event: str, fields: dict[str, object]) -> None:
        if _LEVELS.index(level) < self._minimum:
            return
        named = {f"{key}_" if key in _RESERVED else key: value for key, value in fields.items()}
        timestamp = format_datetime(datetime.now(UTC), "microseconds")
        self._write_entry(LogEntry(level, event, named, timestamp))


@dataclass(frozen=True, slots=True)
class StderrWriter:
    """A destination of entries: standard error, or the system's journal behind it.

    Attributes:
        pretty: Lines for people instead of JSON.
        colored: With terminal colors.
        to_journal: Send to the system's journal where it accepts entries.
        prefixed: Start each line with its priority for the journal, to which standard error leads.
    """

    pretty: bool
    colored: bool
    to_journal: bool = False
    prefixed: bool = False

    def __call__(self, entry: LogEntry) -> None:
        """Write one entry."""
        if self.to_journal and journald.send(entry.level, entry.event, entry.fields):
            return
        text = self._pretty(entry) if self.pretty else _json(entry)
        text = f"<{journald.PRIORITIES[entry.level]}>{text}" if self.prefixed else text
        print(text, file=sys.stderr, flush=True)  # noqa: T201  # this is the log

    def _pretty(self, entry: LogEntry) -> str:
        level = f"{entry.level:<8}"
        shown = f"\x1b[{_COLORS[entry.level]}m{level}\x1b[0m" if self.colored else level
        fields = (f"{key}={entry.fields[key]!r}" for key in sorted(entry.fields))
        return " ".join([f"{entry.timestamp} [{shown}] {entry.event}", *fields])


def _json(entry: LogEntry) -> str:
    fields = {**entry.fields, "event": entry.event, "level": entry.level, "timestamp": entry.timestamp}
    return msgspec.json.encode(fields, enc_hook=str).decode()


def make_logger(config: LogConfig) -> StructuredLogger:
    """Return a logger that writes to standard error as configured."""
    terminal = sys.stderr.isatty()
    pretty = config.format == "pretty" or (config.format == "auto" and terminal)
    in_journal = journald.stderr_is_journal()
    writer = StderrWriter(pretty, terminal, in_journal and config.format == "auto", in_journal)
    return StructuredLogger(config.level, writer)
