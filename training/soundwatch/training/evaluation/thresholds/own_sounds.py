"""Thresholds and open-set figure of a model of own classes, measured on its held-out recordings.

Conventions: thresholds of a trained head are chosen by the rule of shipped models (`price.py`): share found against
false events an hour. The evidence is the held-out clips of the classes and half of the held-out other sounds; the other
half gives the open-set figure, so no recording does both. A hash of the recording's name decides the half. Thresholds
of a fitted head come from heads that left the recordings out (`fitted.py`).
Does not: train, or use recordings that the network was trained on, except where a class has no held-out clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.files.atomic_file import replace_bytes
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.training.data.datasets.negatives import is_synthetic
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.cache import ClipCache, cache_folder
from soundwatch.training.evaluation.detection.offline_detection import MemorySource
from soundwatch.training.evaluation.detection.score_track import Track, detect_in, score_track
from soundwatch.training.evaluation.streets.event_counts import GRID, SceneCounts
from soundwatch.training.evaluation.streets.held_out import open_network
from soundwatch.training.evaluation.thresholds.fitted import FittedThresholds, choose_fitted
from soundwatch.training.evaluation.thresholds.price import Evidence, choose_by_price
from soundwatch.training.evaluation.thresholds.report_lines import (
    MIN_RECORDINGS,
    describe_raised,
    describe_unmeasured,
    threshold_lines,
)
from soundwatch.training.fit.head.fitted_head import collect_examples
from soundwatch.training.fit.head.head_fit import score_unlike
from soundwatch.training.fit.scores.thresholds import halve
from soundwatch.training.fit.setup.run_setup import RunSetup
from soundwatch.training.model import checkpoint as checkpoints
from soundwatch.training.model.checkpoint import load_network

FILE_NAME: Final = "open-set.json"
SEED: Final = 7
LOWEST: Final = 0.8  # a few held-out sounds cannot show what all others raise; docs/own-sounds.md

Scorer = Callable[[Clip], Track]


class OwnSoundsReport(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the choice of thresholds.

    Attributes:
        thresholds: Per class; 1 disables a class.
        clips: Number of class clips that were played.
        found: Number of them that raised an event of their class.
        held_out: False if the class clips are those that the network was trained on; a fitted head without held-out
            clips is measured by heads that left its clips out.
        recordings: Number of real recordings of other sounds, not learned from.
        raised: Number of them that raised an event.
        synthetic: Number of synthetic sounds, not learned from.
        synthetic_raised: Number of them that raised an event.
        shipped: Number of recordings that a fitted head learned from: shipped other sounds, and the user's.
        shipped_raised: Number of them that raise an event by heads and thresholds that left them out.
        not_measured: Classes without a clip among those that were played.
    """

    thresholds: dict[str, float]
    clips: int
    found: int
    held_out: bool
    recordings: int
    raised: int
    synthetic: int
    synthetic_raised: int
    shipped: int = 0
    shipped_raised: int = 0
    not_measured: tuple[str, ...] = ()


def choose_for_own_sounds(session: RunSetup, console: Console) -> OwnSoundsReport:
    """Select thresholds of a finished run, write them into its checkpoint, and measure the open-set figure.

    Raises:
        ModelError: The checkpoint cannot be read.
        DataError: A recording cannot be read.
    """
    path = session.out / checkpoints.FILE_NAME
    classifier = open_network(path)
    contract = classifier.contract
    fitted = _choose_fitted(session, path, console)
    targets = session.split.test if fitted else session.split.test or session.split.train
    score = _scorer(classifier)
    tracks = [score(clip) for clip in track(targets, "Own sounds", console=console, transient=True)]
    if fitted:
        measured_on, values = list(session.held_out_negatives), fitted.values
    else:
        chosen_on, measured_on = halve(session.held_out_negatives)
        others = [score(clip) for clip in track(chosen_on, "Other sounds", console=console, transient=True)]
        evidence = _evidence(contract, targets, tracks, chosen_on, others)
        selected = choose_by_price(evidence, session.recipe.false_event_price, SEED).thresholds
        values = tuple(max(LOWEST, value) for value in selected)
    contract = msgspec.structs.replace(contract, thresholds=dict(zip(contract.labels, values, strict=True)))
    found = sum(
        any(detection.class_id == clip.class_id for detection in detect_in(of_clip, contract, values))
        for clip, of_clip in zip(targets, tracks, strict=True)
    )
    raised = [
        clip
        for clip in track(measured_on, "Open set", console=console, transient=True)
        if detect_in(score(clip), contract, values)
    ]
    synthetic, synthetic_raised = (sum(is_synthetic(clip) for clip in clips) for clips in (measured_on, raised))
    report = OwnSoundsReport(
        thresholds=contract.thresholds,
        clips=len(targets),
        found=found,
        held_out=bool(session.split.test) or fitted is not None,
        recordings=len(measured_on) - synthetic,
        raised=len(raised) - synthetic_raised,
        synthetic=synthetic,
        synthetic_raised=synthetic_raised,
        shipped=fitted.recordings if fitted else 0,
        shipped_raised=fitted.raised if fitted else 0,
        not_measured=_absent(contract.labels, {clip.class_id for clip in targets}),
    )
    if fitted and not targets:
        absent = tuple(contract.labels[class_id] for class_id in fitted.unmeasured)
        report = msgspec.structs.replace(report, clips=fitted.clips, found=fitted.found, not_measured=absent)
    checkpoints.replace_contract(path, contract)
    text = msgspec.json.format(msgspec.json.encode(report), indent=1)
    replace_bytes(session.out / FILE_NAME, text)
    return report


def _absent(labels: Sequence[str], class_ids: set[int | None]) -> tuple[str, ...]:
    """Return the classes without a clip."""
    return tuple(label for class_id, label in enumerate(labels) if class_id not in class_ids)


def _choose_fitted(session: RunSetup, path: Path, console: Console) -> FittedThresholds | None:
    """Choose the thresholds of a fitted head; None for a trained one."""
    recipe, classes = session.recipe, len(session.labels)
    if recipe.finetune is None or recipe.finetune.head != "fitted":
        return None
    network, _ = load_network(path)
    read = ClipCache(recipe.features, cache_folder())
    examples = collect_examples(network.to(session.device), session, read, console)
    left_out, _ = score_unlike(examples, classes)
    return choose_fitted(left_out, classes)


def _scorer(classifier: Classifier) -> Scorer:
    spec = classifier.contract.features
    read = ClipCache(spec, cache_folder())

    return lambda clip: score_track(MemorySource(read(clip), spec.rate_hz).to_its_end(), classifier)


def _evidence(
    contract: ModelContract,
    targets: Sequence[Clip],
    tracks: Sequence[Track],
    others: Sequence[Clip],
    other_tracks: Sequence[Track],
) -> Evidence:
    """Count events at every threshold: each class clip is a minute of the scene, each other sound a clip."""
    rows = [[threshold] * len(contract.labels) for threshold in GRID]
    shape = (len(rows), len(contract.labels), len(targets))
    there, found, false = np.zeros(shape[1:], np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for place, (clip, of_clip) in enumerate(zip(targets, tracks, strict=True)):
        there[clip.class_id, place] = 1
        for row, thresholds in enumerate(rows):
            for class_id in {detection.class_id for detection in detect_in(of_clip, contract, thresholds)}:
                (found if class_id == clip.class_id else false)[row, class_id, place] = 1
    raised = np.zeros((*shape[:2], len(others)), np.bool_)
    for place, of_clip in enumerate(other_tracks):
        for row, thresholds in enumerate(rows):
            for detection in detect_in(of_clip, contract, thresholds):
                raised[row, detection.class_id, place] = True
    rate_hz = contract.features.rate_hz
    hours = sum(float(of_clip.end_samples[-1]) for of_clip in tracks if len(of_clip.end_samples)) / rate_hz / 3600
    scene = SceneCounts(hours, there, found, false, (), ())
    recordings = np.unique([clip.recording for clip in others], return_inverse=True)[1]
    return Evidence((scene,), raised, recordings)


def describe_report(report: OwnSoundsReport) -> list[str]:
    """Return the lines that end the report of a run."""
    origin = "held-out clips" if report.held_out else "clips that the model has learned from"
    if report.shipped:
        chosen_on = f"{report.shipped} recordings of other sounds, by heads that had not learned from their kind"
    else:
        chosen_on = f"{origin}, and half of the held-out other sounds"
    lines = threshold_lines(report.thresholds, chosen_on)
    if report.clips:
        lines.append(f"Found: {report.found} of {report.clips} {origin} raise an event of their class")
    if report.not_measured:
        lines.append(
            f"Not measured: {', '.join(report.not_measured)} (no clip was held out; a class needs two recordings)"
        )
    synthetic = f"{report.synthetic_raised} of {report.synthetic} synthetic sounds raise an event"
    if report.shipped:
        shipped = describe_raised(report.shipped_raised, report.shipped)
        lines.append(f"{shipped}, where neither head nor thresholds had their kind; {synthetic}")
    if report.recordings >= MIN_RECORDINGS:
        lines.append(f"{describe_raised(report.raised, report.recordings)}; {synthetic}; none was learned from")
    elif not report.shipped:
        lines.append(describe_unmeasured(report.recordings, synthetic))
    return lines
