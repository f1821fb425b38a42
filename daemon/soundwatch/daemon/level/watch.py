"""Watch of a source's level: `loud` where it stands over the background, `silence` where it stays under a limit.

Conventions: levels are LAF, eight values a second, relative to full scale; samples are at the rate of the model.
Rule for `loud`: the limit is `margin_db` over the median of LAF in the last `background_s`, and at least `floor_db`.
The background is that of the time before a second, and is known after `LEAST_BACKGROUND_S`. A sound that goes on
becomes background after half of `background_s`, so no event goes on for ever.
Rule for `silence`: the limit is `below_db`.
Rule for times: a second is decided on at its end, so that is the time of its lines.
Does not: turn an excess into events (`level/margin.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.config.config import DetectionConfig
from soundwatch.daemon.config.level import LevelConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.records.event import EndReason, Event
from soundwatch.daemon.level.margin import (
    MARGIN_THRESHOLD,
    MarginRule,
    MarginState,
    MarginStep,
    decide_margin,
    end_margin,
)
from soundwatch.daemon.level.meter import FAST_SAMPLES_A_SECOND, SecondLevel, decibels
from soundwatch.daemon.level.periods import LOWEST_DB

LOUD: Final = "loud"
SILENCE: Final = "silence"
LEAST_BACKGROUND_S: Final = 30
LOUD_RELEASE_S: Final = 2.0
SILENCE_RELEASE_S: Final = 0.5


def watch_thresholds(labels: Sequence[str], contract: ModelContract) -> dict[str, float]:
    """Return the score at which each class of the watch starts.

    Args:
        labels: Classes of the watch of any source.
        contract: Contract of the model.

    Raises:
        ConfigError: The model has a class of that name.
    """
    for label in labels:
        if label in contract.labels:
            raise ConfigError(
                f"level.{label}: the model {contract.identity} has a class {label}. Remove level.{label}, and {label} "
                "of each source."
            )
    return dict.fromkeys(labels, MARGIN_THRESHOLD)


def watch_rules(
    config: LevelConfig, labels: Sequence[str], detection: DetectionConfig, contract: ModelContract
) -> tuple[MarginRule, ...]:
    """Build the rules of the watch of a source; the classes of all sources are numbered after the model's."""
    rate_hz, rules = contract.features.rate_hz, list[MarginRule]()
    wanted = ((config.loud, LOUD, LOUD_RELEASE_S), (config.silence, SILENCE, SILENCE_RELEASE_S))
    for settings, label, release_s in wanted:
        if settings is not None:
            rules.append(
                MarginRule(
                    label=label,
                    class_id=len(contract.labels) + labels.index(label),
                    min_steps=max(1, round(settings.min_s * FAST_SAMPLES_A_SECOND)),
                    hysteresis_db=settings.hysteresis_db,
                    release_steps=round(release_s * FAST_SAMPLES_A_SECOND),
                    max_duration_samples=round(detection.max_duration_s * rate_hz),
                    cooldown_samples=round(detection.cooldown_s * rate_hz),
                    update_samples=round(detection.update_s * rate_hz),
                )
            )
    return tuple(rules)


@dataclass(slots=True)
class LevelWatch:
    """Watch of one source.

    Attributes:
        config: Limits.
        rules: Rules of the watched classes.
        rate_hz: Rate of the model.
    """

    config: LevelConfig
    rules: tuple[MarginRule, ...]
    rate_hz: int
    _background: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _states: dict[str, MarginState] = field(default_factory=dict)

    def add(self, second: SecondLevel, offset_db: float) -> list[Event]:
        """Take the levels of a second.

        Args:
            second: The levels.
            offset_db: Level of full scale in the decibels of the configuration.
        """
        events = list[Event]()
        levels_db = 10 * np.log10(np.maximum(second.fast, 10 ** (LOWEST_DB / 10)))
        begin_sample = second.end_sample - second.rate_hz
        ends = [
            (begin_sample + second.rate_hz * number // FAST_SAMPLES_A_SECOND) * self.rate_hz // second.rate_hz
            for number in range(FAST_SAMPLES_A_SECOND + 1)
        ][: len(levels_db) + 1]
        level_dbfs = decibels(second.z)
        for rule in self.rules:
            limit_db = self._limit_db(rule.label, offset_db)
            if limit_db is None:
                continue
            sign = 1.0 if rule.label == LOUD else -1.0
            idle = self._states.get(rule.label, MarginState()) == MarginState()
            if idle and float((sign * (levels_db - limit_db)).max(initial=-1.0)) < 0:
                continue  # the usual second: no step would change the state
            for first, end, level_db in zip(ends, ends[1:], levels_db.tolist(), strict=False):
                step = MarginStep(first, end, sign * (level_db - limit_db), level_dbfs)
                state, event = decide_margin(self._states.get(rule.label, MarginState()), rule, step)
                self._states[rule.label] = state
                events += [] if event is None else [event]
        if self.config.loud is not None:
            kept = round(self.config.loud.background_s * FAST_SAMPLES_A_SECOND)
            self._background = np.concatenate([self._background, levels_db])[-kept:]
        decided_sample = second.end_sample * self.rate_hz // second.rate_hz
        ordered = sorted(events, key=lambda event: event.decision_sample)
        return [replace(event, decision_sample=decided_sample) for event in ordered]

    def change(self, other: LevelWatch, end_sample: int) -> list[Event]:
        """Take the limits and rules of another watch, and end the events of classes that it lacks."""
        labels = {rule.label for rule in other.rules}
        ends = [
            end_margin(self._states.pop(rule.label), rule, end_sample, "decay")
            for rule in self.rules
            if rule.label in self._states and rule.label not in labels
        ]
        self.config, self.rules = other.config, other.rules
        if self.config.loud is None:
            self._background = np.zeros(0)
        return [event for event in ends if event is not None]

    def end(self, end_sample: int, reason: EndReason) -> list[Event]:
        """End all events, and forget runs; the background stays."""
        ends = [
            end_margin(self._states[rule.label], rule, end_sample, reason)
            for rule in self.rules
            if rule.label in self._states
        ]
        self._states = {}
        return [event for event in ends if event is not None]

    def _limit_db(self, label: str, offset_db: float) -> float | None:
        """Return the limit of a class relative to full scale; None while the background is not known."""
        if label == SILENCE:
            assert self.config.silence is not None
            return self.config.silence.below_db - offset_db
        loud = self.config.loud
        assert loud is not None
        if len(self._background) < LEAST_BACKGROUND_S * FAST_SAMPLES_A_SECOND:
            return None
        limit_db = float(np.median(self._background)) + loud.margin_db
        return limit_db if loud.floor_db is None else max(limit_db, loud.floor_db - offset_db)
