"""All sinks of a running daemon, each with its own worker.

Does not: deliver lines (`sinks/worker.py`) or know the kinds of sinks (`sinks/kinds.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks.protocols import SinkStatus
from soundwatch.daemon.sinks.spec import PreparedSink
from soundwatch.daemon.sinks.worker import CLOSING_S, SinkWorker


class SinkDispatcher:
    """All sinks of a running daemon.

    Args:
        log: Log of the daemon.
        on_all_gone: Called with the names of the sinks when the readers of all of them have left for good.
    """

    def __init__(self, log: Logger, on_all_gone: Callable[[str], object]) -> None:
        self._log = log
        self._on_all_gone = on_all_gone
        self._workers: list[SinkWorker] = []

    def add(self, prepared: PreparedSink, journal: Journal) -> SinkWorker:
        """Start a sink."""
        worker = SinkWorker(prepared, journal, self._log, self._check_all_gone)
        self._workers = [*self._workers, worker]
        return worker

    def remove(self, worker: SinkWorker) -> None:
        """Deliver a sink's remaining lines, and end the sink."""
        self._workers = [other for other in self._workers if other is not worker]
        worker.finish()
        worker.close(CLOSING_S)

    def statuses(self) -> list[tuple[SinkStatus, int]]:
        """Return each sink's status and the number of lines that it has yet to take."""
        return [(worker.status, worker.backlog_lines) for worker in self._workers]

    def close(self, patience_s: float = CLOSING_S) -> dict[str, int]:
        """Deliver the remaining lines, and end all sinks.

        Returns:
            Number of lines that were not delivered, for each sink that has some, by name.
        """
        for worker in self._workers:
            worker.finish()
        until_s = time.monotonic() + patience_s
        left = {worker.status.name: worker.close(max(0.0, until_s - time.monotonic())) for worker in self._workers}
        return {name: lines for name, lines in left.items() if lines}

    def _check_all_gone(self) -> None:
        if all(worker.status.state == "gone" for worker in self._workers):
            self._on_all_gone(", ".join(worker.status.name for worker in self._workers))
