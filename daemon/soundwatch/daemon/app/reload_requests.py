"""Requests to read the configuration again, from signals and from changes of settings.

Conventions: one thread iterates over the requests; any thread and a signal handler may add one. A request that was not
awaited to its end is cancelled, unless it is being applied already.
Does not: read or apply a configuration (`app/daemon.py`).
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from typing import Final

from soundwatch.daemon.config.change import ConfigBusyError
from soundwatch.daemon.core.errors import ConfigError

RELOAD_S: Final = 60.0
ENDING_S: Final = 15.0  # for a reload that is under way at the end of the program

ReloadRequest = Future[str]


class ReloadRequests:
    """Queue of requests until the end of the program."""

    def __init__(self) -> None:
        self._queue = queue.SimpleQueue[ReloadRequest | None]()  # its put is safe in a signal handler
        self._ended = False

    def add(self) -> ReloadRequest:
        """Add a request."""
        request = ReloadRequest()
        self._queue.put(request)
        if self._ended:
            request.cancel()
        return request

    def end(self) -> None:
        """End the iteration after the requests so far."""
        self._queue.put(None)

    def __iter__(self) -> Iterator[ReloadRequest]:
        """Yield requests until the end; later ones are cancelled."""
        while (request := self._queue.get()) is not None:
            yield request
        self._ended = True
        while not self._queue.empty():
            if (late := self._queue.get()) is not None:
                late.cancel()

    def wait(self, wait_s: float = RELOAD_S) -> str:
        """Add a request and wait for its outcome; return what has changed.

        Args:
            wait_s: Longest wait in seconds.

        Raises:
            ConfigBusyError: The configuration is still being applied.
            ConfigError: The configuration was refused, was not applied in time, or the program ends.
        """
        request = self.add()
        try:
            return request.result(wait_s)
        except TimeoutError:
            if not request.cancel():
                raise ConfigBusyError("The change is written and is still being applied; see the log.") from None
            raise ConfigError(f"The reload did not begin within {wait_s:g} s. See the log.") from None
        except CancelledError:
            raise ConfigError("The program ends.") from None


def begin(request: ReloadRequest) -> bool:
    """Mark a request as being applied, unless it was cancelled; return whether it is to be applied."""
    return request.set_running_or_notify_cancel()


def refuse(request: ReloadRequest, reason: str) -> None:
    """End a request with an error, whether it was begun or not."""
    if request.running() or request.set_running_or_notify_cancel():
        request.set_exception(ConfigError(reason))
