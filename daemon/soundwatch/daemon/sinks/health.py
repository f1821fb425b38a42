"""Status of one sink, from the outcomes of its calls.

Conventions: a change of state is logged once: `sink_failed` and `sink_closed` as warnings, `sink_recovered` as info.
Does not: try again (`sinks/worker.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from soundwatch.daemon.core.errors import ReaderClosedError
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.text.messages import failure_text
from soundwatch.daemon.sinks.protocols import SinkState, SinkStatus

REPORTED_S: Final = 60.0


class SinkHealth:
    """Calls of one sink, and the status that follows from them.

    Args:
        name: Name of the sink.
        log: Log of the program.
        delivered_seq: Number of the last line that the sink has taken.
        report: Called with the status once a failure has lasted for `REPORTED_S`, and at the end of such a failure.
        is_reported: A failure was reported by an earlier run, and its end was not.

    Attributes:
        status: The status; a frozen record, so any thread may read it.
    """

    def __init__(
        self,
        name: str,
        log: Logger,
        delivered_seq: int = 0,
        report: Callable[[SinkStatus], object] = lambda _: None,
        *,
        is_reported: bool = False,
    ) -> None:
        self._log = log
        self._report = report
        self._failing_from_s: float | None = None
        self._is_reported = self._awaits_delivery = is_reported  # to open a sink is no proof that it works again
        self._reporting = threading.Lock()
        self.status = SinkStatus(name, since_unix_ns=time.time_ns(), delivered_seq=delivered_seq)

    def attempt(self, call: Callable[[], bool]) -> bool | None:
        """Call the sink; return the result, or None after a failure, which only changes the status."""
        result = self._call(call)
        self._try(self._report_lasting)
        return result

    def end(self, reason: str) -> None:
        """Report the end of a failure that was reported, for a sink that is removed, and nothing after that."""
        self._try(lambda: self._report_end(reason))

    def _try(self, report: Callable[[], object]) -> None:
        try:
            report()
        except Exception as error:  # noqa: BLE001  # no report may end the thread of the sink, or a reload
            self._log.error("sink_report_failed", sink=self.status.name, error=failure_text(error))

    def _call(self, call: Callable[[], bool]) -> bool | None:
        try:
            result = call()
        except ReaderClosedError as error:
            self._set_state("gone", str(error))
        except Exception as error:  # noqa: BLE001  # a sink may fail in any way; the daemon may not
            self._set_state("failing", failure_text(error))
        else:
            self._set_state("working", None)
            return result
        return None

    def delivered(self, seq: int) -> None:
        """Note the number of the last line that the sink has taken."""
        self._awaits_delivery = False
        self.status = replace(self.status, delivered_seq=seq)

    def lost(self, lines: int) -> None:
        """Count lines that the sink will not get."""
        self.status = replace(self.status, lost_lines=self.status.lost_lines + lines)

    def _report_end(self, reason: str) -> None:
        with self._reporting:
            report, self._report = self._report, lambda _: None
            if self._is_reported:
                self._is_reported = False
                report(replace(self.status, state="working", reason=reason))

    def _set_state(self, state: SinkState, reason: str | None) -> None:
        """Set the state, and log its change."""
        self._note_failure(state)
        before = self.status
        if (before.state, before.reason) == (state, reason):
            return
        self.status = replace(before, state=state, reason=reason)
        if before.state == state:
            return
        self.status = replace(self.status, since_unix_ns=time.time_ns())
        if state == "working":
            self._log.info("sink_recovered", sink=before.name, lost_lines=before.lost_lines)
        else:
            event = "sink_failed" if state == "failing" else "sink_closed"
            self._log.warning(event, sink=before.name, reason=reason)

    def _note_failure(self, state: SinkState) -> None:
        """Measure how long the sink has failed."""
        if state != "failing":
            self._failing_from_s = None
        elif self._failing_from_s is None:
            self._failing_from_s = time.monotonic()

    def _report_lasting(self) -> None:
        """Report a failure that lasts, and its end."""
        lasts = self._failing_from_s is not None and time.monotonic() - self._failing_from_s >= REPORTED_S
        with self._reporting:
            if self._awaits_delivery:
                return
            if lasts != self._is_reported and (lasts or self._failing_from_s is None):
                self._is_reported = lasts
                self._report(self.status)
