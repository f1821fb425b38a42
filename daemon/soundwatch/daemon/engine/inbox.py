"""Work for the engine's thread, from every thread.

Conventions: as in `engine.py`. A failure of another thread ends the program in the engine's thread, at its next turn.
The thread that fails needs no memory to pass the failure on, since it may have failed without any.
"""

from __future__ import annotations

import queue
from collections.abc import Callable


class Inbox:
    """Functions that the engine's thread calls, in order, and the failure of another thread."""

    def __init__(self) -> None:
        self._work = queue.SimpleQueue[Callable[[], None] | None]()
        self._failure: BaseException | None = None

    def put(self, work: Callable[[], None]) -> None:
        """Append a function."""
        self._work.put(work)

    def notify(self, failure: BaseException | None = None) -> None:
        """Wake the engine's thread; with a failure, end the program."""
        if failure is not None:
            self._failure = failure
        self._work.put(None)

    def run_next(self, timeout_s: float) -> None:
        """Call the next function, or wait for this time.

        Raises:
            BaseException: The failure of another thread, or that of the function.
        """
        try:
            work = self._work.get(timeout=timeout_s)
        except queue.Empty:
            work = None
        if self._failure is not None:
            raise self._failure
        if work is not None:
            work()
