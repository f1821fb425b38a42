"""Thresholds and open-set share of a finished run of given classes, and the lines that report both.

Conventions: thresholds come from streets with everyday sounds, else from held-out clips, those of other runs or the
run's own, and half of the held-out recordings of other sounds. The open-set share is of everyday sounds with a test
role, else of the other half, so no recording does both. A run that held nothing out keeps 0.5.
Does not: choose thresholds for own classes with independent scores (`own_sounds.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.errors import DataError
from soundwatch.training.data.datasets.everyday_sounds import EverydayClip
from soundwatch.training.data.windows.cache import ClipCache, cache_folder
from soundwatch.training.evaluation.detection.offline_detection import MemorySource
from soundwatch.training.evaluation.detection.score_track import detect_in, score_track
from soundwatch.training.evaluation.streets.held_out import open_network
from soundwatch.training.evaluation.streets.street_events import score_clips
from soundwatch.training.evaluation.thresholds.checkpoint import choose_for_run
from soundwatch.training.evaluation.thresholds.report_lines import (
    MIN_RECORDINGS,
    describe_raised,
    describe_unmeasured,
    threshold_lines,
)
from soundwatch.training.fit.scores.thresholds import halve
from soundwatch.training.fit.setup.run_setup import RunSetup, describe_scored

_NOTHING_HELD_OUT: Final = (
    "nothing, since no clip was held out; 0.5 is no choice. Hold clips out with --test-folds or --test-share, or give "
    "runs that did with --scores-from."
)
_TEST_ROLES: Final = ("test_recordings", "test_kinds")


def finish_thresholds(
    session: RunSetup, root: Path, scores_from: Sequence[Path], sounds: Sequence[EverydayClip], console: Console
) -> list[str]:
    """Choose thresholds on streets where everyday sounds are given, measure the open set, and return the report.

    Args:
        session: Inputs of the finished run.
        root: Folder of the labeled recordings.
        scores_from: Folders of finished runs with held-out folds.
        sounds: Everyday sounds; empty if there are none.
        console: Console for the progress.

    Raises:
        DataError: A recording cannot be read.
        ModelError: The checkpoint cannot be read.
    """
    runs = list(scores_from) or ([session.out] if session.split.test else [])
    chosen_on, notes = _held_out_evidence(session, scores_from), list[str]()
    if sounds and runs:
        try:
            choose_for_run(session.out, runs, root, sounds, console)
        except DataError as error:
            notes.append(f"Not chosen by false events in streets: {error}")
        else:
            chosen_on = "streets and everyday sounds, by false events an hour"
    lines = threshold_lines(open_network(session.out).contract.thresholds, chosen_on or _NOTHING_HELD_OUT)
    return [*lines, *notes, _describe_open_set(session, sounds, console)]


def _held_out_evidence(session: RunSetup, scores_from: Sequence[Path]) -> str:
    """Describe what `fit.thresholds` chose on; empty for nothing."""
    if scores_from:
        clips = "held-out clips of " + ", ".join(map(str, scores_from))
    elif session.split.test:
        clips = describe_scored(session.split)
    else:
        return ""
    others = len(halve(session.held_out_negatives)[0])
    return f"{clips}, and {others} held-out recordings of other sounds" if others else clips


def _describe_open_set(session: RunSetup, sounds: Sequence[EverydayClip], console: Console) -> str:
    """Return the line with the share of other sounds that raise an event, or with the reason why there is none."""
    if session.recipe.activation == "softmax":
        return (
            f"Open set: not measured, since recipe {session.recipe.name} has softmax scores, which sum to one and "
            "cannot say none of the classes: any sound may raise an event."
        )
    raised = [*_raised_by_everyday_sounds(session, sounds, console), *_raised_by_negatives(session, console)]
    if len(raised) < MIN_RECORDINGS:
        return describe_unmeasured(len(raised))
    return f"{describe_raised(sum(raised), len(raised))}; none was learned from, and no threshold was chosen on them"


def _raised_by_everyday_sounds(session: RunSetup, sounds: Sequence[EverydayClip], console: Console) -> list[bool]:
    """Return for each everyday sound of a test role True if an event starts."""
    clips = [clip for clip in sounds if clip.role in _TEST_ROLES and clip.is_clean_negative]
    if not clips:
        return []
    classifier = open_network(session.out)
    values = list(classifier.contract.thresholds.values())
    return [bool(detect_in(one, classifier.contract, values)) for one in score_clips(classifier, clips, console)]


def _raised_by_negatives(session: RunSetup, console: Console) -> list[bool]:
    """Return for each held-out recording that no threshold was chosen on True if an event starts."""
    clips = halve(session.held_out_negatives)[1]
    if not clips:
        return []
    classifier = open_network(session.out)
    contract, read = classifier.contract, ClipCache(session.recipe.features, cache_folder())
    values = list(contract.thresholds.values())
    raised = []
    for clip in track(clips, "Open set", console=console, transient=True):
        scores = score_track(MemorySource(read(clip), contract.features.rate_hz).to_its_end(), classifier)
        raised.append(bool(detect_in(scores, contract, values)))
    return raised
