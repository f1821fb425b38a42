"""The diary on standard error: pretty on a terminal, fields of the system's journal under systemd, JSON elsewhere.

Conventions: an entry is a sentence in small letters and fields with units in their names.
Source: structlog's two renderings. Importing it takes 13 MB and 60 ms, for four methods that print a line.
Does not: keep, rotate or send entries; what starts the program does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from soundwatch.daemon.core.clock import format_datetime
from soundwatch.daemon.core.config import LogConfig
from soundwatch.daemon.system import journald

_LEVELS: Final = ("debug", "info", "warning", "error")
_COLOURS: Final = {"debug": "32", "info": "32", "warning": "33", "error": "31"}


@dataclass(frozen=True, slots=True)
class Logger:
    """Where entries are written.

    Attributes:
        least: The first of the levels that is written.
        pretty: For people to read; else JSON.
        coloured: With a terminal's colours.
        to_journal: To the system's journal, where it takes them.
        prefixed: Whether each line says its level for the journal, to which standard error leads.
    """

    least: int
    pretty: bool
    coloured: bool
    to_journal: bool = False
    prefixed: bool = False

    def debug(self, event: str, **fields: Any) -> None:
        """What helps to find a fault."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What goes as it should."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What a person may want to mend."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """What was lost."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if _LEVELS.index(level) < self.least:
            return
        if self.to_journal and journald.send(level, event, fields):
            return
        timestamp = format_datetime(datetime.now(UTC), "microseconds")
        if self.pretty:
            shown = f"\x1b[{_COLOURS[level]}m{level:<8}\x1b[0m" if self.coloured else f"{level:<8}"
            text = " ".join([f"{timestamp} [{shown}] {event}", *(f"{key}={fields[key]!r}" for key in sorted(fields))])
        else:
            entry = fields | {"event": event, "level": level, "timestamp": timestamp}
            text = msgspec.json.encode(entry, enc_hook=str).decode()
        text = f"<{journald.PRIORITIES[level]}>{text}" if self.prefixed else text
        print(text, file=sys.stderr, flush=True)  # noqa: T201  # this is the diary


def make_logger(config: LogConfig) -> Logger:
    """A logger with `debug`, `info`, `warning` and `error`, each taking a sentence and fields."""
    terminal = sys.stderr.isatty()
    pretty = config.format == "pretty" or (config.format == "auto" and terminal)
    in_journal = journald.stderr_is_journal()
    return Logger(_LEVELS.index(config.level), pretty, terminal, in_journal and config.format == "auto", in_journal)
