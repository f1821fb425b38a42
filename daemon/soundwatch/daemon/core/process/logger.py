"""The log as every package sees it.

Conventions: an event is a stable snake_case name; what varies goes into fields, with units in their names. `event` is
positional only, so no field can collide with it. A logger never raises and never waits.
Does not: format or write entries (`system/log.py`).
"""

from __future__ import annotations

from typing import Protocol


class Logger(Protocol):
    """A destination for log entries; safe to call from every thread."""

    def debug(self, event: str, /, **fields: object) -> None:
        """Log details for finding a fault."""

    def info(self, event: str, /, **fields: object) -> None:
        """Log normal operation, recovery included."""

    def warning(self, event: str, /, **fields: object) -> None:
        """Log a condition that a person may want to correct."""

    def error(self, event: str, /, **fields: object) -> None:
        """Log a loss of data or function."""
