"""Scores of overlapping windows to events that start, last and end.

Conventions: all times are samples at the model's rate. The functions are pure: state and scores in,
state and events out, so any two runs over the same sound decide the same.

The rules, per class:
- Evidence is counted in sound, not in windows. Two windows that share three quarters are not two
  witnesses: each window at or above `threshold` adds only the samples that no earlier one of the run
  held. An event starts once `confirm_samples` of evidence stand in an unbroken run.
- Hysteresis: the event lasts while the score stays at or above `release`, which is below `threshold`.
- A score rises before it reaches the threshold, since the first windows hold little of a sound. The onset
  is put where the first window of the rise reached further than the window before it, but never before the
  run's first window begins. A rise is an unbroken row of windows, each above the one before it and none
  below `RISE_SHARE` of the threshold. The offset is where the first window that let go begins.
- No event is shorter than `min_duration_samples`. After `max_duration_samples` it is ended all the
  same, and no class starts again within `cooldown_samples` of its last offset.
- A window with lost samples neither adds evidence nor breaks it, and neither keeps nor ends an event.

Does not: know seconds, UTC or thresholds' origins (`app/build.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec.structs import replace

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.types import EndReason, Event, EventType, Scores

RISE_SHARE: Final = 0.1  # docs/decisions/0012-thresholds-from-a-street.md has what else was tried


@dataclass(frozen=True, slots=True)
class DetectionRule:
    """What it takes for one class; see the module's text."""

    threshold: float
    release: float
    confirm_samples: int
    min_duration_samples: int
    max_duration_samples: int
    cooldown_samples: int
    update_samples: int


class ClassState(msgspec.Struct, frozen=True):
    """Where one class stands. Ten are made anew a window, and msgspec makes its records several times as quickly.

    Attributes:
        evidence_samples: Sound in the run of windows at or above the threshold; 0 outside a run.
        last_first_sample: Start of the run's latest window.
        rise_sample: Where the score began to rise; None while it does not.
        onset_sample: Onset of the run, and of the event once it is one.
        score: The latest.
        peak_score: The highest since the onset.
        active: True between start and end.
        last_report_sample: When the event was last told of.
        ended_sample: Offset of the last event; None if there was none.
    """

    evidence_samples: int = 0
    last_first_sample: int = 0
    rise_sample: int | None = None
    onset_sample: int = 0
    score: float = 0.0
    peak_score: float = 0.0
    active: bool = False
    last_report_sample: int = 0
    ended_sample: int | None = None


DetectorState = tuple[ClassState, ...]


def initial_state(rules: tuple[DetectionRule, ...]) -> DetectorState:
    """The state before the first window."""
    return tuple(ClassState() for _ in rules)


def decide(
    state: DetectorState, scores: Scores, level_dbfs: float | None, rules: tuple[DetectionRule, ...], spec: FeatureSpec
) -> tuple[DetectorState, list[Event]]:
    """The decide stage: one window's scores, each class on its own.

    Returns:
        The state after it, and the events of this window in the order of the labels.
    """
    if not scores.complete:
        return state, []
    after: list[ClassState] = []
    events: list[Event] = []
    for class_id, (hearing, rule, score) in enumerate(zip(state, rules, scores.values.tolist(), strict=True)):
        move = _follow if hearing.active else _await
        moved, type_, reason = move(hearing, rule, scores, score, spec)
        after.append(moved)
        if type_ is not None:
            events.append(_event(type_, class_id, moved, scores.labels, scores.end_sample, level_dbfs, reason))
    return tuple(after), events


def end_active_events(
    state: DetectorState, labels: tuple[str, ...], decision_sample: int, level_dbfs: float | None, reason: EndReason
) -> list[Event]:
    """End every event that still lasts, because the stream does."""
    return [
        _event("end", class_id, _end(hearing, decision_sample), labels, decision_sample, level_dbfs, reason)
        for class_id, hearing in enumerate(state)
        if hearing.active
    ]


_Move = tuple[ClassState, EventType | None, EndReason | None]


def _await(hearing: ClassState, rule: DetectionRule, scores: Scores, score: float, spec: FeatureSpec) -> _Move:
    """No event lasts: gather evidence for one, or drop what there was."""
    hearing = _rise(hearing, rule, scores, score, spec)
    ended = hearing.ended_sample
    cooling = ended is not None and scores.end_sample < ended + rule.cooldown_samples
    if score < rule.threshold or cooling:
        return replace(hearing, evidence_samples=0), None, None
    if hearing.evidence_samples:
        onset_sample, peak_score = hearing.onset_sample, max(hearing.peak_score, score)
        new_samples = min(spec.window_samples, scores.first_sample - hearing.last_first_sample)
    else:
        onset_sample, peak_score = _onset(hearing, scores, spec), score
        new_samples = spec.window_samples
    hearing = replace(
        hearing,
        evidence_samples=hearing.evidence_samples + new_samples,
        last_first_sample=scores.first_sample,
        onset_sample=onset_sample,
        peak_score=peak_score,
    )
    if hearing.evidence_samples < rule.confirm_samples:
        return hearing, None, None
    return replace(hearing, active=True, last_report_sample=scores.end_sample), "start", None


def _follow(hearing: ClassState, rule: DetectionRule, scores: Scores, score: float, _: FeatureSpec) -> _Move:
    """An event lasts: let it go on, tell of it now and then, or end it."""
    hearing = replace(hearing, score=score, peak_score=max(hearing.peak_score, score))
    lasted_samples = scores.end_sample - hearing.onset_sample
    if score < rule.release and lasted_samples >= rule.min_duration_samples:
        shortest = hearing.onset_sample + rule.min_duration_samples
        return _end(hearing, max(scores.first_sample, shortest)), "end", "decay"
    if lasted_samples >= rule.max_duration_samples:
        return _end(hearing, scores.end_sample), "end", "max_duration"
    if scores.end_sample - hearing.last_report_sample >= rule.update_samples:
        return replace(hearing, last_report_sample=scores.end_sample), "update", None
    return hearing, None, None


def _rise(hearing: ClassState, rule: DetectionRule, scores: Scores, score: float, spec: FeatureSpec) -> ClassState:
    """Note the score, and where it began to rise."""
    if score <= hearing.score or score < RISE_SHARE * rule.threshold:
        rise_sample = None
    elif hearing.rise_sample is None:
        rise_sample = _newest(scores, spec)
    else:
        rise_sample = hearing.rise_sample
    return replace(hearing, score=score, rise_sample=rise_sample)


def _onset(hearing: ClassState, scores: Scores, spec: FeatureSpec) -> int:
    """Where a run that begins with this window began to sound; never inside the event before it."""
    began = _newest(scores, spec) if hearing.rise_sample is None else hearing.rise_sample
    return max(began, scores.first_sample, hearing.ended_sample or 0)


def _newest(scores: Scores, spec: FeatureSpec) -> int:
    """Where the part of a window begins that no window before it held."""
    return scores.first_sample and max(scores.first_sample, scores.end_sample - spec.window_hop_samples)


def _end(hearing: ClassState, offset_sample: int) -> ClassState:
    """The state after an event; an offset never lies before its onset."""
    return replace(
        hearing,
        active=False,
        evidence_samples=0,
        rise_sample=None,
        ended_sample=max(offset_sample, hearing.onset_sample),
    )


def _event(
    type_: EventType,
    class_id: int,
    hearing: ClassState,
    labels: tuple[str, ...],
    decision_sample: int,
    level_dbfs: float | None,
    reason: EndReason | None,
) -> Event:
    return Event(
        type=type_,
        label=labels[class_id],
        class_id=class_id,
        score=hearing.score,
        peak_score=hearing.peak_score,
        level_dbfs=level_dbfs,
        decision_sample=decision_sample,
        onset_sample=hearing.onset_sample,
        offset_sample=hearing.ended_sample if type_ == "end" else None,
        reason=reason,
    )
