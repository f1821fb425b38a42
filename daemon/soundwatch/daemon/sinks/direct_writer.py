"""Numbers the lines and hands each to every sink, here and now: what a replay has in place of the journal.

Conventions: `seq` counts from 1 without holes, over all sources. A line is written whole or counted
as lost; a sink that fails is said once, and once more when it works again.
Does not: keep lines for sinks that are away.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.events.schema import Line, with_seq
from soundwatch.daemon.sinks.protocols import LineWriter


@dataclass(slots=True)
class _Outlet:
    sink: LineWriter
    failing: str | None = None
    lost_lines: int = 0
    closed: bool = False


class DirectWriter:
    """Lines in, numbered lines out to every sink. Safe to call from several threads.

    Args:
        sinks: Where the lines go.
        log: The log.
    """

    def __init__(self, sinks: list[LineWriter], log: Logger) -> None:
        self._outlets = [_Outlet(sink) for sink in sinks]
        self._log = log
        self._seq = 0
        self._lock = threading.Lock()

    def append(self, line: Line) -> None:
        """Number a line and write it to every sink.

        Raises:
            SinkError: The readers of all sinks have gone.
        """
        with self._lock:
            self._seq += 1
            encoded = msgspec.json.encode(with_seq(line, self._seq)) + b"\n"
            for outlet in self._outlets:
                self._write(outlet, encoded)
            if all(outlet.closed for outlet in self._outlets):
                names = ", ".join(outlet.sink.name for outlet in self._outlets)
                raise SinkError(
                    f"The reader of {names} has gone after {self._seq - 1} lines and nothing else is written to; "
                    "stopping. Give a file with -F json:PATH to keep events when a reader goes."
                )

    def write_unnumbered(self, sink: LineWriter, line: Struct) -> None:
        """Write a line that has no number, such as `scores`, to one sink alone."""
        with self._lock:
            for outlet in self._outlets:
                if outlet.sink is sink:
                    self._write(outlet, msgspec.json.encode(line) + b"\n")

    @property
    def losses(self) -> dict[str, int]:
        """Lines lost so far, by the name of each sink that lost some."""
        return {outlet.sink.name: outlet.lost_lines for outlet in self._outlets if outlet.lost_lines}

    def report_losses(self) -> None:
        """Say what could not be written.

        Raises:
            SinkError: Lines were lost.
        """
        for name, lost_lines in self.losses.items():
            raise SinkError(
                f"{lost_lines} lines could not be written to {name}. Make room there, or give another file with "
                "-F json:PATH."
            )

    def close(self) -> None:
        """Close every sink."""
        for outlet in self._outlets:
            outlet.sink.close()

    def _write(self, outlet: _Outlet, line: bytes) -> None:
        if outlet.closed:
            return
        try:
            outlet.sink.write(line)
        except BrokenPipeError:
            outlet.closed = True
            self._log.warning("the reader has gone; no more lines are written there", sink=outlet.sink.name)
        except OSError as error:
            outlet.lost_lines += 1
            if outlet.failing is None:
                outlet.failing = error.strerror or str(error)
                self._log.warning(
                    "lines cannot be written and are lost until this is mended; listening goes on",
                    sink=outlet.sink.name,
                    error=outlet.failing,
                )
        else:
            if outlet.failing is not None:
                outlet.failing = None
                self._log.warning("lines are written again", sink=outlet.sink.name, lost_lines=outlet.lost_lines)
