"""Functions that the journal calls when lines have been written. Safe to call from several threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable


class Subscribers:
    """Functions without arguments, called in the order of their subscription."""

    def __init__(self) -> None:
        self._readers: list[Callable[[], None]] = []
        self._lock = threading.Lock()  # guards the list

    def __len__(self) -> int:
        return len(self._readers)

    def add(self, reader: Callable[[], None]) -> Callable[[], None]:
        """Add a function; return a function that removes it."""
        with self._lock:
            self._readers.append(reader)

        def unsubscribe() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._readers.remove(reader)

        return unsubscribe

    def call(self) -> None:
        """Call all functions."""
        with self._lock:
            readers = list(self._readers)
        for reader in readers:
            reader()
