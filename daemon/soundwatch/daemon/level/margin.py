"""Events of a level: its excess over a limit becomes start, update and end, whatever sounds.

Conventions: one step is one value of a level, some tenths of a second of sound; samples are at the rate of the model.
The excess is in decibels: positive on the side that gives events, which may be the loud or the quiet side.
Rule: an event starts once the excess was not negative for `min_steps` steps in a row; its onset is the begin of the
first. It ends once the excess was below -`hysteresis_db` for `release_steps` in a row; its offset is the end of the
last step before them. Its longest duration, cooldown and updates are those of other events (`detection/decide.py`).
Rule for lost sound: it gives no steps, so a gap neither starts nor ends an event.
Does not: measure levels or choose limits (`level/watch.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from soundwatch.daemon.core.records.event import EndReason, Event, EventType

SCORE_SPAN_DB: Final = 40.0
MARGIN_THRESHOLD: Final = 0.5  # score at the limit


@dataclass(frozen=True, slots=True)
class MarginRule:
    """Rule of one class.

    Attributes:
        label: The class.
        class_id: Number of the class.
        min_steps: Shortest run of steps beyond the limit that starts an event.
        hysteresis_db: Distance below the limit that ends an event.
        release_steps: Shortest run of steps below that distance that ends an event.
        max_duration_samples: Longest event.
        cooldown_samples: Time after an event without another one.
        update_samples: Time between two updates.
    """

    label: str
    class_id: int
    min_steps: int
    hysteresis_db: float
    release_steps: int
    max_duration_samples: int
    cooldown_samples: int
    update_samples: int


@dataclass(frozen=True, slots=True)
class MarginStep:
    """One value of the level.

    Attributes:
        first_sample: Begin of its sound.
        end_sample: End of its sound.
        excess_db: Excess over the limit.
        level_dbfs: Level of the sound without weighting; None for digital silence.
    """

    first_sample: int
    end_sample: int
    excess_db: float
    level_dbfs: float | None


@dataclass(frozen=True, slots=True)
class MarginState:
    """State of one class on one source.

    Attributes:
        run_steps: Number of steps in a row beyond the limit, or below the hysteresis during an event.
        onset_sample: Onset of the event or of the run; None for neither.
        active: True during an event.
        offset_sample: End of the last step that belongs to the event.
        peak_score: Highest score since the onset.
        updated_sample: Time of the last line.
        blocked_until: End of the cooldown.
        continued_sample: Onset of an event that ended by its longest duration and goes on; None for none.
        level_dbfs: Level of the last step.
    """

    run_steps: int = 0
    onset_sample: int | None = None
    active: bool = False
    offset_sample: int = 0
    peak_score: float = 0.0
    updated_sample: int = 0
    blocked_until: int = 0
    continued_sample: int | None = None
    level_dbfs: float | None = None


def margin_score(excess_db: float) -> float:
    """Return the score of an excess: 0.5 at the limit, 1 at 20 dB beyond it."""
    return min(1.0, max(0.0, MARGIN_THRESHOLD + excess_db / SCORE_SPAN_DB))


def decide_margin(state: MarginState, rule: MarginRule, step: MarginStep) -> tuple[MarginState, Event | None]:
    """Take the next step.

    Returns:
        The next state, and the event's line if the step gives one.
    """
    state = replace(state, level_dbfs=step.level_dbfs)
    if not state.active:
        return _before(state, rule, step)
    score = margin_score(step.excess_db)
    state = replace(state, peak_score=max(state.peak_score, score))
    if step.excess_db >= -rule.hysteresis_db:
        state = replace(state, run_steps=0, offset_sample=step.end_sample)
    else:
        state = replace(state, run_steps=state.run_steps + 1)
    assert state.onset_sample is not None
    if state.run_steps >= rule.release_steps:
        return _ended(state, rule, step, "decay", None)
    if step.end_sample - state.onset_sample >= rule.max_duration_samples:
        return _ended(replace(state, offset_sample=step.end_sample), rule, step, "max_duration", state.onset_sample)
    if step.end_sample - state.updated_sample >= rule.update_samples:
        state = replace(state, updated_sample=step.end_sample)
        return state, _event("update", state, rule, score, step.end_sample)
    return state, None


def end_margin(state: MarginState, rule: MarginRule, end_sample: int, reason: EndReason) -> Event | None:
    """Return the end of an event that is cut off at a sample; None without an event."""
    if not state.active:
        return None
    event = _event("end", state, rule, state.peak_score, max(end_sample, state.updated_sample))
    return replace(event, offset_sample=state.offset_sample, reason=reason)


def _before(state: MarginState, rule: MarginRule, step: MarginStep) -> tuple[MarginState, Event | None]:
    """Count the steps that may start an event."""
    if step.excess_db < -rule.hysteresis_db:
        state = replace(state, continued_sample=None)
    if step.excess_db < 0 or step.first_sample < state.blocked_until:
        blocked_until = state.blocked_until if step.end_sample < state.blocked_until else 0
        return MarginState(blocked_until=blocked_until, continued_sample=state.continued_sample), None
    onset_sample = step.first_sample if state.onset_sample is None else state.onset_sample
    score = margin_score(step.excess_db)
    state = replace(
        state,
        run_steps=state.run_steps + 1,
        onset_sample=onset_sample,
        peak_score=max(state.peak_score, score),
        offset_sample=step.end_sample,
    )
    if state.run_steps < rule.min_steps:
        return state, None
    state = replace(state, run_steps=0, active=True, updated_sample=step.end_sample)
    return state, _event("start", state, rule, score, step.end_sample)


def _ended(
    state: MarginState, rule: MarginRule, step: MarginStep, reason: EndReason, continued_sample: int | None
) -> tuple[MarginState, Event]:
    line = _event("end", state, rule, margin_score(step.excess_db), step.end_sample)
    event = replace(line, offset_sample=state.offset_sample, reason=reason)
    blocked_until = step.end_sample + rule.cooldown_samples
    return MarginState(blocked_until=blocked_until, continued_sample=continued_sample), event


def _event(type_: EventType, state: MarginState, rule: MarginRule, score: float, decision_sample: int) -> Event:
    assert state.onset_sample is not None
    return Event(
        type=type_,
        label=rule.label,
        class_id=rule.class_id,
        score=score,
        peak_score=state.peak_score,
        level_dbfs=state.level_dbfs,
        decision_sample=decision_sample,
        onset_sample=state.onset_sample,
        continues_sample=state.continued_sample,
    )
