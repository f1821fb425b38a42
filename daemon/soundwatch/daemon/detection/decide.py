"""Detection of events in the scores of overlapping windows.

Conventions: all times are samples at the model's rate. The functions are pure: state and scores in,
state and events out, so two runs over equal sound give equal events.

The rules, per class:
- Evidence is counted in samples, not in windows. Overlapping windows are not independent: each window at or above
  `threshold` adds only the samples that no earlier window of the run contained. An event starts once an unbroken run
  holds `confirm_samples` of evidence.
- Hysteresis: the event lasts while the score stays at or above `release`, which is below `threshold`.
- A score rises before it reaches the threshold, since the first windows contain little of a sound. The onset
  is the end of the window before the rise, but not before the start of the run's first window. A rise is an unbroken
  row of windows, each with a higher score than the one before it and none below `RISE_SHARE` of the threshold. The
  offset is the start of the first window below `release`.
- No event is shorter than `min_duration_samples`. An event ends after `max_duration_samples`, and no class starts
  again within `cooldown_samples` of its last offset.
- A window with lost samples neither adds nor breaks evidence, and neither extends nor ends an event.

Does not: convert to seconds or UTC, or choose thresholds (`detection/rules.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec.structs import replace

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.model.tags import highest_tags
from soundwatch.daemon.core.records.event import EndReason, Event, EventType
from soundwatch.daemon.core.records.scores import Scores

RISE_SHARE: Final = 0.1  # docs/decisions/0012-thresholds-from-a-street.md lists the alternatives


@dataclass(frozen=True, slots=True)
class DetectionRule:
    """Thresholds and durations of one class; the module's docstring describes them."""

    threshold: float
    release: float
    confirm_samples: int
    min_duration_samples: int
    max_duration_samples: int
    cooldown_samples: int
    update_samples: int


class ClassState(msgspec.Struct, frozen=True):
    """Detector state of one class. A msgspec record, since ten per window are created and dataclasses are slower.

    Attributes:
        evidence_samples: Samples in the run of windows at or above the threshold; 0 outside a run.
        last_first_sample: Start of the run's latest window.
        rise_sample: Start of the rise of the score; None while the score does not rise.
        onset_sample: Onset of the run, and of the event if there is one.
        score: Latest score.
        peak_score: Highest score since the onset.
        active: True between start and end of an event.
        last_report_sample: Time of the event's last start or update.
        ended_sample: Offset of the last event; None before the first.
        unbroken_sample: Onset of the last event if it ended by its longest duration and the score has not fallen to
            release since; else None.
        continues_sample: Onset of the event that the current one continues; None for a new sound.
        also: The highest tags of the window with the peak score.
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
    unbroken_sample: int | None = None
    continues_sample: int | None = None
    also: tuple[tuple[str, float], ...] = ()


DetectorState = tuple[ClassState, ...]


def initial_state(rules: tuple[DetectionRule, ...]) -> DetectorState:
    """Return the state before the first window."""
    return tuple(ClassState() for _ in rules)


def decide(
    state: DetectorState, scores: Scores, level_dbfs: float | None, rules: tuple[DetectionRule, ...], spec: FeatureSpec
) -> tuple[DetectorState, list[Event]]:
    """Update each class with one window's scores: the decide stage.

    Returns:
        The next state, and the events of this window in the order of the labels.
    """
    if not scores.complete:
        return state, []
    after: list[ClassState] = []
    events: list[Event] = []
    for class_id, (before, rule, score) in enumerate(zip(state, rules, scores.values.tolist(), strict=True)):
        step = _step_active if before.active else _step_idle
        updated, type_, reason = step(before, rule, scores, score, spec)
        if scores.tags and updated.peak_score == score and (before.active or updated.evidence_samples):
            also = highest_tags(scores.tags, scores.tag_values.tolist(), scores.labels[class_id])
            updated = replace(updated, also=also)
        after.append(updated)
        if type_ is not None:
            events.append(_event(type_, class_id, updated, scores.labels, scores.end_sample, level_dbfs, reason))
    return tuple(after), events


def end_active_events(
    state: DetectorState, labels: tuple[str, ...], decision_sample: int, level_dbfs: float | None, reason: EndReason
) -> list[Event]:
    """End all active events at the end of a stream."""
    return [
        _event("end", class_id, _end(class_state, decision_sample), labels, decision_sample, level_dbfs, reason)
        for class_id, class_state in enumerate(state)
        if class_state.active
    ]


_Step = tuple[ClassState, EventType | None, EndReason | None]


def _step_idle(state: ClassState, rule: DetectionRule, scores: Scores, score: float, spec: FeatureSpec) -> _Step:
    """Collect evidence for an event, or discard it."""
    state = _rise(state, rule, scores, score, spec)
    if score < rule.release and state.unbroken_sample is not None:
        state = replace(state, unbroken_sample=None)
    ended = state.ended_sample
    cooling = ended is not None and scores.end_sample < ended + rule.cooldown_samples
    if score < rule.threshold or cooling:
        return replace(state, evidence_samples=0), None, None
    if state.evidence_samples:
        onset_sample, peak_score = state.onset_sample, max(state.peak_score, score)
        new_samples = min(spec.window_samples, scores.first_sample - state.last_first_sample)
    else:
        onset_sample, peak_score = _onset(state, scores, spec), score
        new_samples = spec.window_samples
    state = replace(
        state,
        evidence_samples=state.evidence_samples + new_samples,
        last_first_sample=scores.first_sample,
        onset_sample=onset_sample,
        peak_score=peak_score,
    )
    if state.evidence_samples < rule.confirm_samples:
        return state, None, None
    started = replace(state, active=True, last_report_sample=scores.end_sample, continues_sample=state.unbroken_sample)
    return started, "start", None


def _step_active(state: ClassState, rule: DetectionRule, scores: Scores, score: float, _: FeatureSpec) -> _Step:
    """Continue, update or end an active event."""
    state = replace(state, score=score, peak_score=max(state.peak_score, score))
    lasted_samples = scores.end_sample - state.onset_sample
    if score < rule.release and lasted_samples >= rule.min_duration_samples:
        shortest = state.onset_sample + rule.min_duration_samples
        return _end(state, max(scores.first_sample, shortest)), "end", "decay"
    if lasted_samples >= rule.max_duration_samples:
        ended = _end(state, scores.end_sample)
        return replace(ended, unbroken_sample=state.onset_sample), "end", "max_duration"
    if scores.end_sample - state.last_report_sample >= rule.update_samples:
        return replace(state, last_report_sample=scores.end_sample), "update", None
    return state, None, None


def _rise(state: ClassState, rule: DetectionRule, scores: Scores, score: float, spec: FeatureSpec) -> ClassState:
    """Store the score, and the start of its rise."""
    if score <= state.score or score < RISE_SHARE * rule.threshold:
        rise_sample = None
    elif state.rise_sample is None:
        rise_sample = _newest(scores, spec)
    else:
        rise_sample = state.rise_sample
    return replace(state, score=score, rise_sample=rise_sample)


def _onset(state: ClassState, scores: Scores, spec: FeatureSpec) -> int:
    """Return the onset of a run that begins with this window; never inside the previous event."""
    began = _newest(scores, spec) if state.rise_sample is None else state.rise_sample
    return max(began, scores.first_sample, state.ended_sample or 0)


def _newest(scores: Scores, spec: FeatureSpec) -> int:
    """Return the first sample of a window that no earlier window contained."""
    return scores.first_sample and max(scores.first_sample, scores.end_sample - spec.window_hop_samples)


def _end(state: ClassState, offset_sample: int) -> ClassState:
    """Return the state after an event; an offset is never before its onset."""
    return replace(
        state,
        active=False,
        evidence_samples=0,
        rise_sample=None,
        ended_sample=max(offset_sample, state.onset_sample),
        unbroken_sample=None,
    )


def _event(
    type_: EventType,
    class_id: int,
    state: ClassState,
    labels: tuple[str, ...],
    decision_sample: int,
    level_dbfs: float | None,
    reason: EndReason | None,
) -> Event:
    return Event(
        type=type_,
        label=labels[class_id],
        class_id=class_id,
        score=state.score,
        peak_score=state.peak_score,
        level_dbfs=level_dbfs,
        decision_sample=decision_sample,
        onset_sample=state.onset_sample,
        offset_sample=state.ended_sample if type_ == "end" else None,
        reason=reason,
        continues_sample=state.continues_sample,
        also=state.also,
    )
