"""Lines of a replay: numbered, and written to every sink in the calling thread.

Rule for a sink that fails: the line counts as lost, and the replay continues.
Does not: keep lines (`journal/journal.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

import msgspec

from soundwatch.daemon.core.errors import ReaderClosedError, SinkError
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.text.messages import counted, failure_text
from soundwatch.daemon.events.schema import Line, with_seq
from soundwatch.daemon.sinks.health import SinkHealth
from soundwatch.daemon.sinks.protocols import LineWriter


class DirectWriter:
    """The journal's stand-in for a replay: lines in, numbered lines out to every sink in the calling thread.

    `seq` counts from 1 without holes, over all sources. A line is written whole or counted as lost. Safe to call from
    several threads.

    Args:
        sinks: Destinations of the lines.
        log: Log of the program.
    """

    def __init__(self, sinks: Sequence[LineWriter], log: Logger) -> None:
        self._sinks = [(sink, SinkHealth(sink.name, log)) for sink in sinks]
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
            for sink, health in self._sinks:
                self._write(sink, health, encoded)
            if all(health.status.state == "gone" for _, health in self._sinks):
                names = ", ".join(sink.name for sink, _ in self._sinks)
                written = counted(self._seq - 1, "line")
                raise SinkError(
                    f"The reader of {names} has gone after {written} and nothing else is written to; "
                    "stopping. Give a file with -F json:PATH to keep events when a reader goes."
                )

    def write_unnumbered(self, line: msgspec.Struct, wanted: Sequence[bool]) -> None:
        """Write a line that has no number, such as `scores`, to the destinations that want it."""
        encoded = msgspec.json.encode(line) + b"\n"
        with self._lock:
            for (sink, health), wants in zip(self._sinks, wanted, strict=True):
                if wants:
                    self._write(sink, health, encoded)

    def report_losses(self) -> None:
        """Raise an error if lines could not be written.

        Raises:
            SinkError: Lines were lost.
        """
        for lost_lines, name in ((health.status.lost_lines, sink.name) for sink, health in self._sinks):
            if lost_lines:
                raise SinkError(
                    f"{counted(lost_lines, 'line')} could not be written to {name}. Make room there, or give another "
                    "file with -F json:PATH."
                )

    def close(self) -> None:
        """Close every destination."""
        for sink, _ in self._sinks:
            sink.close()

    def _write(self, sink: LineWriter, health: SinkHealth, line: bytes) -> None:
        if health.status.state == "gone":
            return
        if health.attempt(partial(_write_line, sink, line)) is None and health.status.state == "failing":
            health.lost(1)


def _write_line(sink: LineWriter, line: bytes) -> bool:
    """Write a line and return True; a pipe without a reader is a reader that has gone."""
    try:
        sink.write(line)
    except BrokenPipeError as error:
        raise ReaderClosedError(failure_text(error)) from error
    return True
