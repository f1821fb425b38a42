"""Functions that are called for each item of a stream, such as the lines of the journal or the windows of a source.

Conventions: safe to call from several threads. A call runs the functions of its moment, in the thread of the caller.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVarTuple

Arguments = TypeVarTuple("Arguments")


class Subscribers(Generic[*Arguments]):
    """Functions, called in the order of their subscription."""

    def __init__(self) -> None:
        self._functions: dict[object, Callable[[*Arguments], object]] = {}  # replaced as a whole
        self._lock = threading.Lock()  # guards the replacement

    def __len__(self) -> int:
        return len(self._functions)

    def add(self, function: Callable[[*Arguments], object]) -> Callable[[], None]:
        """Add a function; return a function that removes it, whose second call does nothing."""
        key = object()
        with self._lock:
            self._functions = {**self._functions, key: function}

        def remove() -> None:
            with self._lock:
                self._functions = {other: kept for other, kept in self._functions.items() if other is not key}

        return remove

    def call(self, *arguments: *Arguments) -> None:
        """Call all functions."""
        for function in self._functions.values():
            function(*arguments)
