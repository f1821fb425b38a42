"""Exponential backoff: the pause before each further attempt.

Conventions: seconds. Each pause is twice the one before it, up to a maximum.
Does not: wait, or count attempts.
"""

from __future__ import annotations


class Backoff:
    """Pauses between attempts.

    Args:
        first_s: Pause after the first failure.
        max_s: Longest pause.
    """

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._pause_s = first_s

    def next_s(self) -> float:
        """Return the pause before the next attempt, and double the one after it."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, self._max_s)
        return pause_s

    def reset(self) -> None:
        """Start over with the first pause, after a success."""
        self._pause_s = self._first_s
