"""A request to stop the program, for long work that no `stop` of a source reaches.

Conventions: the signal handler sets a variable, and the work reads it between two blocks. An exception raised by a
handler would be lost where libsndfile calls back into Python.
Does not: reach worker processes by itself; those of a scan get the request from `scan/process_pool.py`.
"""

from __future__ import annotations


class StoppedError(Exception):
    """SIGINT or SIGTERM stopped work that has no result yet. The program ends with exit code 0."""


class _Request:
    """Request to stop this process."""

    requested = False


def request_stop() -> None:
    """Request the stop. Safe in a signal handler."""
    _Request.requested = True


def withdraw_stop_request() -> None:
    """Let later work of this process run."""
    _Request.requested = False


def raise_if_stop_requested() -> None:
    """Raise an error if the program is to stop.

    Raises:
        StoppedError: A signal requested the stop.
    """
    if _Request.requested:
        raise StoppedError("A signal stopped the work before its end.")
