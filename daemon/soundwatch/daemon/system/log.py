"""The logger: entries with a level, a time and plain fields.

Conventions: an entry is an event in snake_case and fields with units in their names. Field values are reduced to plain
values in the call, so rendering an entry later cannot fail and shows the state at the time of the call.
Source: structlog. Importing structlog takes 13 MB and 60 ms, for four methods that write a line.
Does not: write entries (`log_output.py`), or keep, rotate or send them; the process that starts the program does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from soundwatch.daemon.core.time.clock import format_datetime

Level = Literal["debug", "info", "warning", "error"]
PlainValue = str | int | float | bool | None | list["PlainValue"]

LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error")
_RESERVED: Final = ("event", "level", "timestamp")
_MAX_INT: Final = 2**63


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry.

    Attributes:
        level: Severity.
        event: Name of the event.
        fields: Plain values by name; a name that the JSON form reserves has `_` appended.
        timestamp: Time in UTC, ISO 8601 with `Z`.
    """

    level: Level
    event: str
    fields: Mapping[str, PlainValue]
    timestamp: str


class StructuredLogger:
    """A logger that hands every entry at or above a level to one function.

    Args:
        level: The lowest level that is written.
        write: Takes an entry.
    """

    def __init__(self, level: Level, write: Callable[[LogEntry], object]) -> None:
        self._minimum = LEVELS.index(level)
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
        if LEVELS.index(level) < self._minimum:
            return
        named = {f"{key}_" if key in _RESERVED else key: plain_value(value) for key, value in fields.items()}
        timestamp = format_datetime(datetime.now(UTC), "microseconds")
        self._write_entry(LogEntry(level, event, named, timestamp))


def plain_value(value: object) -> PlainValue:
    """Reduce a value to one that every rendering accepts; never raises.

    Args:
        value: Any object. Text keeps its characters, with surrogates escaped; other objects become their text.
    """
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < _MAX_INT:
        return value
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001  # a log call may not fail its caller
        text = f"<{type(value).__name__}: {type(error).__name__} in str()>"
    return text.encode("utf-8", "backslashreplace").decode()
