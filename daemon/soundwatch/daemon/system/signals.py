"""Signal handlers of a running program."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from soundwatch.daemon.core.stop_request import set_stop_request


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Request the stop and call `stop` on SIGINT and SIGTERM within the context; restore the handlers afterwards."""

    def handle(*_: object) -> None:
        stop()
        set_stop_request(True)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        set_stop_request(False)
