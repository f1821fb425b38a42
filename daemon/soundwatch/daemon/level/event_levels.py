"""Levels of events: of the deciding window, and the highest since the onset.

Conventions: samples are at the rate of the model, as in events.
Does not: keep sound, or more than `KEPT_S` of levels.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from soundwatch.daemon.core.records.event import Event
from soundwatch.daemon.level.meter import SecondLevel

KEPT_S: Final = 900


@dataclass(frozen=True, slots=True)
class _Kept:
    """Values of a second that are kept."""

    end_sample: int
    energy: float
    coverage: float
    fast_max: float


@dataclass(slots=True)
class EventLevels:
    """The latest seconds of one source, and the highest level of each event that has not ended.

    Attributes:
        rate_hz: Rate of the model.
        window_samples: Length of the model's window; at least a second is taken.
    """

    rate_hz: int
    window_samples: int
    _seconds: deque[_Kept] = field(default_factory=lambda: deque[_Kept](maxlen=KEPT_S))
    _peaks: dict[tuple[str, int], float] = field(default_factory=dict)

    def add(self, second: SecondLevel) -> None:
        """Add a second."""
        end_sample = second.end_sample * self.rate_hz // second.rate_hz
        self._seconds.append(_Kept(end_sample, second.a * second.coverage, second.coverage, second.fast_max))

    def of_event(self, event: Event) -> tuple[float, float]:
        """Return the mean square A of the event's deciding window, and the highest one with F since the onset.

        Both are 0 for silence and where no second is known. Whole seconds count: those that end in the window, and
        those of which half is after the onset.
        """
        key = (event.label, event.onset_sample)
        highest = self._peaks.pop(key, 0.0)
        energy, coverage = 0.0, 0.0
        window_samples, half = max(self.window_samples, self.rate_hz), self.rate_hz // 2
        for second in reversed(self._seconds):
            if second.end_sample > event.decision_sample:  # known in a replay, not yet in a live stream
                continue
            in_window = second.end_sample > event.decision_sample - window_samples
            since_onset = second.end_sample - half >= event.onset_sample
            if not in_window and not since_onset:
                break
            if in_window:
                energy, coverage = energy + second.energy, coverage + second.coverage
            if since_onset:
                highest = max(highest, second.fast_max)
        if event.type != "end":
            self._peaks[key] = highest
        return (energy / coverage if coverage else 0.0), highest
