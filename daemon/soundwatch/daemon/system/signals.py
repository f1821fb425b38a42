"""Signal handlers of a running program."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from soundwatch.daemon.core.process.stop_request import request_stop, withdraw_stop_request

SIGHUP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none


class _Hangup:
    """Record of a SIGHUP that no part has acted on yet."""

    pending = False


@contextlib.contextmanager
def hangups_kept() -> Iterator[None]:
    """Let SIGHUP end nothing within the context; `hangups_to` gets the signal that arrived before it."""

    def keep(*_: object) -> None:
        _Hangup.pending = True

    before = None if SIGHUP is None else signal.signal(SIGHUP, keep)
    try:
        yield
    finally:
        _Hangup.pending = False
        if SIGHUP is not None:
            signal.signal(SIGHUP, before)


@contextlib.contextmanager
def hangups_to(call: Callable[[], object]) -> Iterator[None]:
    """Call `call` on each SIGHUP within the context, and at once for one that was kept."""
    before = None if SIGHUP is None else signal.signal(SIGHUP, lambda *_: call())
    try:
        if _Hangup.pending:
            _Hangup.pending = False
            call()
        yield
    finally:
        if SIGHUP is not None:
            signal.signal(SIGHUP, before)


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Request the stop and call `stop` on SIGINT and SIGTERM within the context; restore the handlers afterwards."""

    def handle(*_: object) -> None:
        stop()
        request_stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        withdraw_stop_request()
