"""Numbers lines and writes each to every destination at once: the journal's stand-in for a replay.

Conventions: `seq` counts from 1 without holes, over all sources. A line is written whole or counted as lost. Changes of
state are logged as those of live sinks are (`sinks/status.py`).
Does not: keep lines for destinations that are away.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.events.schema import Line, with_seq
from soundwatch.daemon.sinks.protocols import LineWriter
from soundwatch.daemon.sinks.status import SinkStatus, failure_text, with_state


class DirectWriter:
    """Lines in, numbered lines out to every destination. Safe to call from several threads.

    Args:
        sinks: Destinations of the lines.
        log: Log of the program.
    """

    def __init__(self, sinks: Sequence[LineWriter], log: Logger) -> None:
        self._sinks = list(sinks)
        self._statuses = [SinkStatus(sink.name) for sink in sinks]
        self._log = log
        self._seq = 0
        self._lock = threading.Lock()

    def append(self, line: Line) -> None:
        """Number a line and write it to every destination.

        Raises:
            SinkError: The readers of all destinations have gone.
        """
        with self._lock:
            self._seq += 1
            encoded = msgspec.json.encode(with_seq(line, self._seq)) + b"\n"
            self._statuses = [
                self._write(sink, status, encoded) for sink, status in zip(self._sinks, self._statuses, strict=True)
            ]
            if all(status.state == "gone" for status in self._statuses):
                names = ", ".join(status.name for status in self._statuses)
                raise SinkError(
                    f"The reader of {names} has gone after {self._seq - 1} lines and nothing else is written to; "
                    "stopping. Give a file with -F json:PATH to keep events when a reader goes."
                )

    def write_unnumbered(self, sink: LineWriter, line: msgspec.Struct) -> None:
        """Write a line that has no number, such as `scores`, to one destination alone."""
        with self._lock:
            place = self._sinks.index(sink)
            self._statuses[place] = self._write(sink, self._statuses[place], msgspec.json.encode(line) + b"\n")

    @property
    def losses(self) -> dict[str, int]:
        """Number of lines lost so far, by name, for each destination that lost some."""
        return {status.name: status.lost_lines for status in self._statuses if status.lost_lines}

    def report_losses(self) -> None:
        """Raise an error if lines could not be written.

        Raises:
            SinkError: Lines were lost.
        """
        for name, lost_lines in self.losses.items():
            raise SinkError(
                f"{lost_lines} lines could not be written to {name}. Make room there, or give another file with "
                "-F json:PATH."
            )

    def close(self) -> None:
        """Close every destination."""
        for sink in self._sinks:
            sink.close()

    def _write(self, sink: LineWriter, status: SinkStatus, line: bytes) -> SinkStatus:
        """Write a line; return the destination's status afterward."""
        if status.state == "gone":
            return status
        try:
            sink.write(line)
        except BrokenPipeError as error:
            return with_state(status, "gone", failure_text(error), self._log)
        except OSError as error:
            return with_state(
                replace(status, lost_lines=status.lost_lines + 1), "failing", failure_text(error), self._log
            )
        return status if status.state == "working" else with_state(status, "working", None, self._log)
