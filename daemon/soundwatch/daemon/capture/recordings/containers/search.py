"""Progress of a search through a whole file, which takes minutes in a file of many gigabytes.

Conventions: places only grow. A command that draws nothing else on the terminal allows a bar there. Elsewhere an entry
a minute goes to the program's log, if there is one.
Does not: search (`flac.py`, `mpeg.py`, `ogg.py`).
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from soundwatch.daemon.core.process.program_log import program_log
from soundwatch.daemon.core.process.stop_request import raise_if_stop_requested

ENTRY_EVERY_S: Final = 60.0
BAR_AFTER_S: Final = 1.0


class _Terminal:
    """State of this process."""

    bars = False


@contextlib.contextmanager
def search_bars() -> Iterator[None]:
    """Allow bars within the context, if standard error is a terminal."""
    _Terminal.bars = sys.stderr.isatty()
    try:
        yield
    finally:
        _Terminal.bars = False


class SearchProgress(AbstractContextManager["SearchProgress"]):
    """A search that a signal stops, and that is logged once a minute.

    Args:
        file: The file.
        start: Place at which the search starts, in bytes or samples.
        end: Place at which the search ends.
        now_s: Monotonic clock.
    """

    def __init__(self, file: BinaryIO, start: int, end: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._file, self._start, self._end, self._now_s = file, start, end, now_s
        self._began_s = self._logged_s = now_s()
        self._bar: _Bar | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the terminal."""
        if self._bar is not None:
            self._bar.close()

    def reach(self, place: int) -> None:
        """Note that the search has come to a place.

        Raises:
            StoppedError: A signal requested the stop.
        """
        raise_if_stop_requested()
        now_s = self._now_s()
        if _Terminal.bars:
            if self._bar is None and now_s - self._began_s >= BAR_AFTER_S:
                self._bar = _Bar(f"searching {Path(self._name).name}", self._end - self._start)
            if self._bar is not None:
                self._bar.show(place - self._start)
        elif now_s - self._logged_s >= ENTRY_EVERY_S:
            self._logged_s = now_s
            self._log(place, now_s)

    @property
    def _name(self) -> str:
        return str(getattr(self._file, "name", ""))

    def _log(self, place: int, now_s: float) -> None:
        log = program_log()
        if log is not None:
            done_share = (place - self._start) / max(1, self._end - self._start)
            left_s = round((now_s - self._began_s) * (1 / done_share - 1)) if done_share > 0 else None
            log.info("file_search_progress", file=self._name, done_share=round(done_share, 4), left_s=left_s)


class _Bar:
    """A progress bar on the terminal."""

    def __init__(self, title: str, total: int) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(escape(title), total=max(1, total))
        self._bar.start()

    def show(self, done: int) -> None:
        self._bar.update(self._task, completed=done)

    def close(self) -> None:
        self._bar.stop()
