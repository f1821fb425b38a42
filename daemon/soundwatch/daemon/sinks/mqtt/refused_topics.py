"""Topics that a broker refuses to take.

Conventions: a refused topic is left out for `FIRST_PAUSE_S`, after each further refusal for twice the time, up to
`LONGEST_PAUSE_S`: permissions may have been corrected meanwhile. A new connection tries every topic whose last refusal
is older than `FIRST_PAUSE_S`, since the broker may have been restarted. A topic that was refused later may be the
reason why the broker disconnected, so it waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from soundwatch.daemon.core.network.backoff import Backoff

FIRST_PAUSE_S: Final = 10.0
LONGEST_PAUSE_S: Final = 3600.0


class RefusedTopics:
    """Refused topics of one broker.

    Args:
        steady_s: A clock that cannot be set.

    Attributes:
        count: Number of refusals so far.
    """

    def __init__(self, steady_s: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._steady_s = steady_s
        self._backoffs: dict[str, Backoff] = {}
        self._refused_s: dict[str, float] = {}
        self._due_s: dict[str, float] = {}

    def __contains__(self, topic: str) -> bool:
        """Return whether a topic is left out now."""
        return topic in self._due_s and self._due_s[topic] > self._steady_s()

    @property
    def due(self) -> frozenset[str]:
        """Refused topics that may be tried again now."""
        return frozenset(topic for topic in self._due_s if topic not in self)

    def connected(self) -> None:
        """Note a new connection."""
        now_s = self._steady_s()
        for topic, refused_s in self._refused_s.items():
            if now_s - refused_s >= FIRST_PAUSE_S:
                self._due_s[topic] = min(self._due_s[topic], now_s)

    def add(self, topic: str) -> bool:
        """Leave a topic out for a while; return whether it is its first refusal."""
        if topic in self:
            return False
        self.count += 1
        first = topic not in self._backoffs
        backoff = self._backoffs.setdefault(topic, Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S))
        self._refused_s[topic] = self._steady_s()
        self._due_s[topic] = self._refused_s[topic] + backoff.next_s()
        return first

    def accept(self, topics: Iterable[str]) -> list[str]:
        """Forget topics that the broker has taken; return those that it refused before."""
        taken = [topic for topic in topics if topic in self._backoffs and topic not in self]
        for topic in taken:
            del self._backoffs[topic], self._refused_s[topic], self._due_s[topic]
        return taken
