"""Keeps the service manager informed of the engine: that it is ready, what it hears, and that no stage is frozen.

Conventions: called at each turn of the engine's loop, at least twice a second; looks up once in `LOOK_UP_NS`.
Rule for a frozen stage: one that has not gone on for half the manager's time is said to be frozen, and the manager
hears nothing more until it goes on; so it is the manager that ends and restarts the program.
Does not: restart anything.
"""

from __future__ import annotations

from typing import Final

from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.engine.liveness import EngineProgress, is_ready, stalled_stage, status_text
from soundwatch.daemon.system.sd_notify import SystemdNotifier

LOOK_UP_NS: Final = 1_000_000_000
LEAST_PATIENCE_NS: Final = 4_000_000_000  # a lost microphone is told of after less than three seconds


class Watchdog:
    """A program that a service manager watches over; satisfies `progress.Watch`.

    Args:
        notifier: Tells the manager.
        log: The log.
    """

    def __init__(self, notifier: SystemdNotifier, log: Logger) -> None:
        self._notifier = notifier
        self._log = log
        self._patience_ns = max(LEAST_PATIENCE_NS, notifier.watchdog_ns // 2)
        self._next_ns = 0
        self._ready = False
        self._told = ""
        self._frozen: str | None = None

    def __call__(self, progress: EngineProgress, now_ns: int) -> None:
        """Tell what there is to tell."""
        if not self._notifier.heard or now_ns < self._next_ns:
            return
        self._next_ns = now_ns + min(LOOK_UP_NS, (self._notifier.watchdog_ns or LOOK_UP_NS) // 4)
        if not self._ready and is_ready(progress):
            self._ready = True
            self._notifier.ready()
        told = status_text(progress)
        if told != self._told:
            self._told = told
            self._notifier.status(told)
        self._watch_over(progress, now_ns)

    def _watch_over(self, progress: EngineProgress, now_ns: int) -> None:
        stage = stalled_stage(progress, now_ns, self._patience_ns)
        if stage != self._frozen:
            if stage is None:
                self._log.warning("it goes on", stage=self._frozen)
            else:
                self._log.warning("a stage is frozen; the service manager is not told to wait any longer", stage=stage)
            self._frozen = stage
        if stage is None and self._notifier.watchdog_ns:
            self._notifier.alive()
