"""Counts of found targets and false events in scenes and single clips, for many thresholds at once.

Conventions: T thresholds, K classes, M minutes of a scene, N clips. An event is correct if it matches a target of its
class within the collar, a window and a hop, each event with at most one target. Every other event is false, unless
its class is uncertain there. Counts are per minute of the onset of a target or false event, for
confidence intervals by resampling minutes.
Does not: select thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.training.data.datasets.everyday_sounds import EverydayClip
from soundwatch.training.evaluation.detection.event_matching import TimedLabel, match_events
from soundwatch.training.evaluation.detection.score_track import Detection
from soundwatch.training.evaluation.streets.busy_street import Scene

Counts = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class SceneCounts:
    """Counts of a scene.

    Attributes:
        hours: Length.
        there: Number of targets (K, M).
        found: Number of found targets (T, K, M).
        false: Number of false events (T, K, M).
        delays_s: Seconds from the onset of a found target to its line, per threshold and class.
        false_kinds: Kind of the active sound at the start of a false event, per threshold and class.
    """

    hours: float
    there: Counts
    found: Counts
    false: Counts
    delays_s: tuple[tuple[tuple[float, ...], ...], ...]
    false_kinds: tuple[tuple[tuple[str, ...], ...], ...]


def count_scene(
    scene: Scene, detections: Sequence[Sequence[Detection]], labels: tuple[str, ...], window_s: float, hop_s: float
) -> SceneCounts:
    """Count targets and false events of a scene for T lists of detections."""
    minutes = max(1, round(scene.length_s / 60))
    shape = (len(labels), minutes)
    there, found, false = (
        np.zeros(shape, np.int32),
        np.zeros((len(detections), *shape), np.int32),
        np.zeros((len(detections), *shape), np.int32),
    )
    targets = [TimedLabel(item.label, item.onset_s) for item in scene.foreground if item.label is not None]
    for mark in targets:
        there[labels.index(mark.label), _minute(mark.onset_s, minutes)] += 1
    delays, kinds = [], []
    for row, detected in enumerate(detections):
        events = [TimedLabel(labels[item.class_id], item.onset_s) for item in detected]
        pairs = match_events(targets, events, window_s + hop_s)
        row_delays: list[list[float]] = [[] for _ in labels]
        row_kinds: list[list[str]] = [[] for _ in labels]
        for target, found_by in pairs:
            mark = targets[target]
            found[row, labels.index(mark.label), _minute(mark.onset_s, minutes)] += 1
            row_delays[labels.index(mark.label)].append(detected[found_by].at_s - mark.onset_s)
        right = {found_by for _, found_by in pairs}
        for place, (event, detection) in enumerate(zip(events, detected, strict=True)):
            if place in right or scene.uncertain_at(event.label, detection.onset_s, window_s):
                continue
            false[row, detection.class_id, _minute(event.onset_s, minutes)] += 1
            row_kinds[detection.class_id].append(_kind_at(scene, detection.at_s, window_s))
        delays.append(tuple(tuple(delay) for delay in row_delays))
        kinds.append(tuple(tuple(kind) for kind in row_kinds))
    return SceneCounts(scene.length_s / 3600, there, found, false, tuple(delays), tuple(kinds))


def _minute(second: float, minutes: int) -> int:
    return min(minutes - 1, max(0, int(second // 60)))


def _kind_at(scene: Scene, second: float, window_s: float) -> str:
    """Return the kind of the latest sound in the window that ends at this second, or of the background."""
    inside = [item for item in scene.foreground if item.onset_s < second <= item.onset_s + item.length_s + window_s]
    if inside:
        return f"{inside[-1].part}: {inside[-1].kind}"
    return f"background: {next(b.kind for b in reversed(scene.backgrounds) if b.start_s <= second)}"


def raised_by_clips(
    clips: Sequence[EverydayClip],
    detections: Iterable[Sequence[Sequence[Detection]]],
    labels: tuple[str, ...],
    rows: int,
) -> NDArray[np.bool_]:
    """Find the wrong classes with an event in each clip, (T, K, N), from T lists of detections per clip."""
    raised = np.zeros((rows, len(labels), len(clips)), np.bool_)
    for place, (clip, of_clip) in enumerate(zip(clips, detections, strict=True)):
        for row, detected in enumerate(of_clip):
            for item in detected:
                label = labels[item.class_id]
                if label != clip.label and label not in clip.uncertain:
                    raised[row, item.class_id, place] = True
    return raised


def pool(parts: Sequence[SceneCounts]) -> SceneCounts:
    """Combine the counts of several scenes."""
    rows, classes = parts[0].found.shape[:2]
    return SceneCounts(
        sum(part.hours for part in parts),
        np.concatenate([part.there for part in parts], axis=1),
        np.concatenate([part.found for part in parts], axis=2),
        np.concatenate([part.false for part in parts], axis=2),
        tuple(
            tuple(tuple(item for part in parts for item in part.delays_s[row][k]) for k in range(classes))
            for row in range(rows)
        ),
        tuple(
            tuple(tuple(item for part in parts for item in part.false_kinds[row][k]) for k in range(classes))
            for row in range(rows)
        ),
    )


def mean_rates(scenes: Sequence[SceneCounts]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute share found and false events per hour, (T, K) each, averaged over scenes."""
    found = [scene.found.sum(axis=2) / np.maximum(scene.there.sum(axis=1), 1) for scene in scenes]
    false = [scene.false.sum(axis=2) / scene.hours for scene in scenes]
    return np.mean(found, axis=0), np.mean(false, axis=0)


GRID: Final = (*(round(0.05 + 0.025 * step, 3) for step in range(37)), 0.97, 0.98, 0.99, 1.0)
