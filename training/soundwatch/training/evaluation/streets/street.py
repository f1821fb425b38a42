"""Street evaluation: held-out clips mixed over ambience, event detection, and matching.

Conventions: there are two collars, as in sed_eval, on both sides of the
true onset: the wide one is a window and a hop, since a window with any part of a sound may start its
event; the tight one is a hop, the stated accuracy of the daemon's onsets. Figures use the wide collar
unless stated otherwise.
Does not: mix (`street_scene.py`), match (`evaluation/detection/event_matching.py`) or print (`event_report.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.training.data.audio.read_audio import RATE_HZ
from soundwatch.training.data.datasets.labeled_clips import LabeledClips, check_labels
from soundwatch.training.data.datasets.metadata_table import read_table
from soundwatch.training.data.datasets.urbansound8k import ADVICE, Clip, find_metadata, metadata_paths
from soundwatch.training.evaluation.detection.event_matching import MatchCounts, TimedLabel, count_matches, match_events
from soundwatch.training.evaluation.detection.offline_detection import DetectedEvent, detect_in_blocks
from soundwatch.training.evaluation.streets.street_scene import PlacedClip, plan_scene, render_scene
from soundwatch.training.sounds.ambience import Ambience, ambiences, round_robin

KINDS: Final = ("pink noise", "rain", "brown noise", "sea", "babble", "fire", "clock")
STRETCH_S: Final = 60


class Delay(msgspec.Struct, frozen=True, kw_only=True):
    """Delay after the true onset of found sounds, in seconds.

    Attributes:
        median: Median.
        p95: 95th percentile.
    """

    median: float
    p95: float


class SnrFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one scene at one signal-to-noise ratio.

    Attributes:
        snr_db: Ratio of clips to ambience.
        hours: Length of the scene.
        found: Counts over all classes, at the wide collar.
        found_tight: Counts over all classes, at the tight collar.
        macro_f1: Mean of F1 over classes with clips.
        classes: Counts per class, at the wide collar.
        false_events_per_h: Events without a matching clip.
        false_events_alone_per_h: False events far from any clip.
        latency_s: Delay of the decision; None without found clips.
        onset_late_s: Delay of the detected onset; None without found clips.
    """

    snr_db: float
    hours: float
    found: MatchCounts
    found_tight: MatchCounts
    macro_f1: float
    classes: dict[str, MatchCounts]
    false_events_per_h: float
    false_events_alone_per_h: float
    latency_s: Delay | None
    onset_late_s: Delay | None


class StreetReport(msgspec.Struct, frozen=True, kw_only=True):
    """Report of a street evaluation.

    Attributes:
        model: Name and hash of the model.
        provider: Execution provider.
        thresholds: Thresholds of the contract.
        folder: Name of the data set; None for UrbanSound8K.
        folds: UrbanSound8K folds of the clips.
        trained_on_these: Folds that the model was trained on: their figures measure memory.
        seed: Random seed.
        clips: Number of clips in the scene.
        recordings: Number of their original recordings.
        ambience: Kinds of ambience, a minute of each in turn.
        skipped: Missing kinds of ambience, with the reasons.
        collar_s: Wide collar.
        tight_collar_s: Tight collar.
        levels: Figures per signal-to-noise ratio, with equal clips and onsets.
    """

    model: str
    provider: str
    thresholds: dict[str, float]
    folder: str | None
    folds: tuple[int, ...]
    trained_on_these: tuple[int, ...]
    seed: int
    clips: int
    recordings: int
    ambience: tuple[str, ...]
    skipped: tuple[str, ...]
    collar_s: float
    tight_collar_s: float
    levels: tuple[SnrFigures, ...]


def evaluate_street(
    classifier: Classifier,
    data: LabeledClips,
    held_out: Sequence[Clip],
    snrs_db: Sequence[float],
    minutes: float,
    seed: int,
    console: Console,
) -> StreetReport:
    """Evaluate a scene of these clips at every ratio.

    Args:
        classifier: Model to evaluate.
        data: Clips in the foreground of their recordings.
        held_out: Negatives for the ambience.
        snrs_db: Signal-to-noise ratios, one scene each.
        minutes: Maximum length of a scene.
        seed: Random seed.
        console: Console for the progress.

    Raises:
        ContractError: The model lacks one of the labels.
        DataError: There are too few clips for a scene, or one cannot be read.
    """
    contract = classifier.contract
    check_labels(contract, data)
    placed = plan_scene(data, seed, minutes * 60)
    hop_s = contract.features.window_hop_samples / contract.features.rate_hz
    collars_s = (contract.features.window_ms / 1000 + hop_s, hop_s)
    levels = []
    for snr_db in snrs_db:
        kinds, skipped = _in_street(held_out, seed)
        mixed = render_scene(placed, round_robin(list(kinds.values()), STRETCH_S * RATE_HZ), snr_db)
        blocks = track(mixed, f"Street at {snr_db:g} dB", len(placed) + 1, console=console)
        detected, length_s = detect_in_blocks(blocks, classifier)
        levels.append(_figures(snr_db, data.labels, placed, detected, length_s / 3600, collars_s))
    return StreetReport(
        model=contract.identity,
        provider=classifier.provider,
        thresholds=contract.thresholds,
        folder=data.folder,
        folds=data.folds,
        trained_on_these=data.learned_folds(contract),
        seed=seed,
        clips=len(placed),
        recordings=len({item.clip.recording for item in placed}),
        ambience=tuple(kinds),
        skipped=skipped,
        collar_s=round(collars_s[0], 3),
        tight_collar_s=round(collars_s[1], 3),
        levels=tuple(levels),
    )


def _in_street(held_out: Sequence[Clip], seed: int) -> tuple[dict[str, Ambience], tuple[str, ...]]:
    """Select the available kinds of ambience of a street."""
    kinds, skipped = ambiences(held_out, seed)
    return {name: kinds[name] for name in KINDS if name in kinds}, skipped


def _figures(
    snr_db: float,
    labels: tuple[str, ...],
    placed: Sequence[PlacedClip],
    detected: Sequence[DetectedEvent],
    hours: float,
    collars_s: tuple[float, float],
) -> SnrFigures:
    reference = [TimedLabel(item.label, item.onset_sample / RATE_HZ) for item in placed]
    estimated = [TimedLabel(event.label, event.onset_s) for event in detected]
    others = sorted({event.label for event in detected} - set(labels))
    pairs, tight = (match_events(reference, estimated, collar_s) for collar_s in collars_s)
    classes = {label: count_matches(reference, estimated, pairs, label) for label in (*labels, *others)}
    matched = {event for _, event in pairs}
    false = [mark for place, mark in enumerate(estimated) if place not in matched]
    alone = [mark for mark in false if all(abs(mark.onset_s - sound.onset_s) > collars_s[0] for sound in reference)]
    return SnrFigures(
        snr_db=snr_db,
        hours=round(hours, 4),
        found=count_matches(reference, estimated, pairs, None),
        found_tight=count_matches(reference, estimated, tight, None),
        macro_f1=round(
            float(np.mean([class_.f1 for class_ in classes.values() if class_.reference and class_.f1 is not None])), 4
        ),
        classes=classes,
        false_events_per_h=round(len(false) / hours, 2),
        false_events_alone_per_h=round(len(alone) / hours, 2),
        latency_s=delay_of([detected[event].decision_s - reference[sound].onset_s for sound, event in pairs]),
        onset_late_s=delay_of([estimated[event].onset_s - reference[sound].onset_s for sound, event in pairs]),
    )


def delay_of(delays_s: Sequence[float]) -> Delay | None:
    """Compute the median and 95th percentile of delays; None without delays."""
    if not delays_s:
        return None
    median, p95 = np.percentile(delays_s, [50, 95])
    return Delay(median=round(float(median), 2), p95=round(float(p95), 2))


def foreground_clips(root: Path, data: LabeledClips) -> LabeledClips:
    """Select UrbanSound8K clips in the foreground of their recording (salience 1); all clips of other data.

    Raises:
        DataError: The metadata has no column salience.
    """
    if data.folder:
        return data
    metadata = find_metadata(root) or metadata_paths(root)[0]
    rows = [row for _, row in read_table(metadata, ("slice_file_name", "salience"), ADVICE)]
    loud = {row["slice_file_name"] for row in rows if row["salience"] == "1"}
    return replace(data, clips=tuple(clip for clip in data.clips if clip.path.name in loud))
