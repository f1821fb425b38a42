"""A request to stop the program, for long work that no `stop` of a source reaches.

Conventions: the signal handler sets a variable, and the work reads it between two blocks. An exception raised by a
handler would be lost where libsndfile calls back into Python. A worker process reads a variable of its parent.
"""

from __future__ import annotations

from typing import Protocol


class StoppedError(Exception):
    """SIGINT or SIGTERM stopped work that has no result yet. The program ends with exit code 0."""


class StopVariable(Protocol):
    """A variable that is true once the program is to stop."""

    value: bool


class _Variable:
    value = False


class _Request:
    """The variable of this process."""

    variable: StopVariable = _Variable()


def set_stop_request(requested: bool) -> None:
    """Request the stop, or withdraw the request. Safe in a signal handler."""
    _Request.variable.value = requested


def use_stop_variable(variable: StopVariable) -> None:
    """Use a variable that this process shares with its parent."""
    _Request.variable = variable


def raise_if_stop_requested() -> None:
    """Raise an error if the program is to stop.

    Raises:
        StoppedError: A signal requested the stop.
    """
    if _Request.variable.value:
        raise StoppedError("A signal stopped the work before its end.")
