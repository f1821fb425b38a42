"""Progress of a scan: a bar on a terminal, otherwise log entries at intervals.

Conventions: shares are of bytes, which are known before a file is opened; the rate is duration of sound over time
passed.
Does not: report failures (`scan/job.py`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

from soundwatch.daemon.core.process.logger import Logger

ENTRY_EVERY_S: Final = 30.0


class Progress(AbstractContextManager["Progress"]):
    """Reporter of a scan's progress.

    Args:
        total_bytes: Size of all recordings.
        log: The log, used without a terminal.
        now_s: Clock, for tests.
    """

    def __init__(self, total_bytes: int, log: Logger, now_s: Callable[[], float] = time.monotonic) -> None:
        self._total_bytes, self._old_bytes = total_bytes, 0.0
        self._new_bytes, self._scanned_s = 0.0, 0.0
        self._log, self._now_s = log, now_s
        self._start_s = self._logged_s = now_s()
        self._bar = _Bar(total_bytes) if sys.stderr.isatty() else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the terminal."""
        if self._bar is not None:
            self._bar.close()

    def skip(self, size_bytes: float) -> None:
        """Count bytes that an earlier run scored."""
        self._old_bytes += size_bytes

    def add(self, size_bytes: float, duration_s: float) -> None:
        """Count a scored chunk, with its size and the duration of its sound."""
        self._new_bytes += size_bytes
        self._scanned_s += duration_s
        if self._bar is not None:
            self._bar.show(self._old_bytes + self._new_bytes, self.times_real_time)
        elif self._now_s() - self._logged_s >= ENTRY_EVERY_S:
            self._logged_s = self._now_s()
            self._log.info(
                "scan_progress",
                done_share=round(self.done_share, 4),
                left_s=self.left_s,
                times_real_time=round(self.times_real_time),
            )

    @property
    def times_real_time(self) -> float:
        """Duration of scored sound over time passed, in this run."""
        return self._scanned_s / max(1e-9, self._now_s() - self._start_s)

    @property
    def done_share(self) -> float:
        """Share of the bytes that are scored, earlier runs included."""
        return (self._old_bytes + self._new_bytes) / max(1, self._total_bytes)

    @property
    def left_s(self) -> int | None:
        """Remaining time at the rate of this run; None before the first chunk."""
        if not self._new_bytes:
            return None
        left_bytes = self._total_bytes - self._old_bytes - self._new_bytes
        return round(left_bytes / self._new_bytes * (self._now_s() - self._start_s))


class _Bar:
    """A progress bar on the terminal."""

    def __init__(self, total_bytes: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.percentage:>5.1f} %  {task.fields[times]:,.0f} times real time, left:"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("scan", total=max(1, total_bytes), times=0)
        self._bar.start()

    def show(self, done_bytes: float, times_real_time: float) -> None:
        self._bar.update(self._task, completed=done_bytes, times=times_real_time)

    def close(self) -> None:
        self._bar.stop()
