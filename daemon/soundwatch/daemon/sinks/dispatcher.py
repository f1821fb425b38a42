"""All sinks of a running daemon, each with its own worker.

Does not: deliver lines (`sinks/worker.py`) or know the kinds of sinks (`sinks/kinds.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks.protocols import SinkStatus
from soundwatch.daemon.sinks.spec import PreparedSink
from soundwatch.daemon.sinks.worker import CLOSING_S, SinkWorker


class SinkDispatcher:
    """All sinks of a running daemon.

    Args:
        log: Log of the daemon.
        on_all_gone: Called with the names of the sinks when the readers of all of them have left for good.
        report: Called with the status of a sink whose failure lasts, and at the end of that.
        reported: Names of the sinks whose failure an earlier run has reported, and not its end; started ones leave it.
    """

    def __init__(
        self,
        log: Logger,
        on_all_gone: Callable[[str], object],
        report: Callable[[SinkStatus], object] = lambda _: None,
        reported: set[str] | None = None,
    ) -> None:
        self._report = report
        self._reported = set[str]() if reported is None else reported
        self._log = log
        self._on_all_gone = on_all_gone
        self._workers: list[SinkWorker] = []
        self._leaving: list[SinkWorker] = []  # removed, and their threads have not ended

    def add(self, prepared: PreparedSink, journal: Journal) -> SinkWorker:
        """Start a sink; those of its name that were removed, and are still delivering, end first."""
        self._leaving = [worker for worker in self._leaving if not worker.has_ended]
        before = [worker for worker in self._leaving if worker.status.name == prepared.name and worker.has_place]
        is_reported = prepared.name in self._reported
        self._reported.discard(prepared.name)
        worker = SinkWorker(
            prepared, journal, self._log, self._check_all_gone, before, self._report, is_reported=is_reported
        )
        self._workers = [*self._workers, worker]
        return worker

    def remove(self, workers: Sequence[SinkWorker]) -> None:
        """Deliver the remaining lines of some sinks, and end these sinks; a delivery that goes well may go on."""
        self._workers = [worker for worker in self._workers if worker not in workers]
        for worker in workers:
            worker.finish()
        until_s = time.monotonic() + CLOSING_S
        for worker in workers:
            worker.leave(max(0.0, until_s - time.monotonic()))
        self._leaving += [worker for worker in workers if not worker.has_ended]

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
        for worker in self._leaving:
            worker.close(0.0)
        return {name: lines for name, lines in left.items() if lines}

    def _check_all_gone(self) -> None:
        if self._workers and all(worker.status.state == "gone" for worker in self._workers):
            self._on_all_gone(", ".join(worker.status.name for worker in self._workers))
