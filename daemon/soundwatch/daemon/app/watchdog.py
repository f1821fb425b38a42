"""Notifications to the service manager: readiness, status and liveness.

Conventions: called on each turn of the engine's loop, at least once in `engine.WAKE_S`; acts once in `INTERVAL_NS`.
Rule for a stalled stage: a stage without progress for half the manager's watchdog time is logged as stalled, and the
manager gets no ping until the stage makes progress; the manager then ends and restarts the program.
Does not: restart anything.
"""

from __future__ import annotations

from typing import Final

from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.engine.liveness import EngineProgress, is_ready, stalled_stage, status_text
from soundwatch.daemon.system.sd_notify import SystemdNotifier

INTERVAL_NS: Final = 1_000_000_000
MIN_PATIENCE_NS: Final = 4_000_000_000  # a lost microphone is reported within three seconds


class Watchdog:
    """Notifications to the service manager; satisfies `liveness.TickHandler`.

    Args:
        notifier: Sends notifications.
        log: The log.
    """

    def __init__(self, notifier: SystemdNotifier, log: Logger) -> None:
        self._notifier = notifier
        self._log = log
        self._patience_ns = max(MIN_PATIENCE_NS, notifier.watchdog_ns // 2)
        self._next_ns = 0
        self._ready = False
        self._status = ""
        self._stalled: str | None = None

    def __call__(self, progress: EngineProgress, now_ns: int) -> None:
        """Send the notifications that are due."""
        if not self._notifier.connected or now_ns < self._next_ns:
            return
        self._next_ns = now_ns + min(INTERVAL_NS, (self._notifier.watchdog_ns or INTERVAL_NS) // 4)
        if not self._ready and is_ready(progress):
            self._ready = True
            self._notifier.ready()
        status = status_text(progress)
        if status != self._status:
            self._status = status
            self._notifier.status(status)
        self._check(progress, now_ns)

    def _check(self, progress: EngineProgress, now_ns: int) -> None:
        stage = stalled_stage(progress, now_ns, self._patience_ns)
        if stage != self._stalled:
            if stage is None:
                self._log.info("stage_recovered", stage=self._stalled)
            else:
                self._log.error("stage_stalled", stage=stage)
            self._stalled = stage
        if stage is None and self._notifier.watchdog_ns:
            self._notifier.ping_watchdog()
