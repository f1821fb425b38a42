"""Check of a data set before training: counts and faults.

Conventions: every file is decoded completely, as in training.
Does not: change any file, find faults (`data/checks/findings.py`), or print (`data/checks/check_report.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Literal, TypeVar

import msgspec
from rich.console import Console
from rich.progress import track

from soundwatch.training.data.checks.audio_facts import SoundFacts, measure_sound
from soundwatch.training.data.checks.findings import (
    Finding,
    Measured,
    about_csv,
    about_folders,
    about_metadata,
    find_copies,
    find_faults,
    find_oddities,
)
from soundwatch.training.data.datasets.class_folders import list_folders
from soundwatch.training.data.datasets.csv_labels import Columns, list_csv
from soundwatch.training.data.datasets.urbansound8k import read_metadata
from soundwatch.training.model.labels import LABELS

Layout = Literal["urbansound8k", "folders", "csv"]
_Value = TypeVar("_Value", int, str)


class ClassCount(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one class: files, original recordings, length, and files per fold."""

    files: int
    recordings: int
    minutes: float
    folds: dict[int, int]


class DataCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and findings of a data set; `durations_s` are minimum, median and maximum."""

    root: str
    layout: Layout
    listed: int
    files: int
    minutes: float
    classes: dict[str, ClassCount]
    rates_hz: dict[int, int]
    channels: dict[int, int]
    encodings: dict[str, int]
    durations_s: tuple[float, float, float] | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """Number of findings that make training wrong."""
        return sum(finding.severity == "error" for finding in self.findings)


def check_data(root: Path, layout: Layout, console: Console, columns: Columns | None = None) -> DataCheck:
    """Decode every file of a data set, with a progress bar, and report counts and findings.

    Args:
        root: Folder of the data set; the CSV file of layout csv.
        layout: Form of the data set.
        console: For progress.
        columns: Columns of the CSV file; only for layout csv.

    Raises:
        DataError: The data set does not exist, or its metadata cannot be read.
    """
    labels: tuple[str, ...] = LABELS
    folder = root
    if layout == "folders":
        labels, clips, ignored = list_folders(root)
        about = about_folders(labels, clips, ignored, root)
    elif columns:
        labels, clips, folder = list_csv(root, columns)
        about = about_csv(labels, clips, folder)
    else:
        clips = read_metadata(root)
        about = about_metadata(clips, root)
    present = [clip for clip in clips if clip.is_there]
    measured = [(clip, measure_sound(clip.path)) for clip in track(present, "Decoding", console=console)]
    sounds = [(clip, facts) for clip, facts in measured if isinstance(facts, SoundFacts)]
    durations_s = [facts.duration_s for _, facts in sounds]
    shape = (min(durations_s), median(durations_s), max(durations_s)) if durations_s else None
    findings = [*find_faults(measured, folder), *find_copies(sounds, folder), *about, *find_oddities(sounds, folder)]
    return DataCheck(
        root=str(root),
        layout=layout,
        listed=len(clips),
        files=len(present),
        minutes=round(sum(durations_s) / 60, 2),
        classes={label: _count(class_id, measured) for class_id, label in enumerate(labels)},
        rates_hz=_tally(facts.rate_hz for _, facts in sounds),
        channels=_tally(facts.channels for _, facts in sounds),
        encodings=_tally(facts.encoding for _, facts in sounds),
        durations_s=None if shape is None else (round(shape[0], 3), round(shape[1], 3), round(shape[2], 3)),
        findings=tuple(sorted(findings, key=lambda finding: finding.severity)),
    )


def _count(class_id: int, measured: Measured) -> ClassCount:
    in_class = [(clip, facts) for clip, facts in measured if clip.class_id == class_id]
    seconds = sum(facts.duration_s for _, facts in in_class if isinstance(facts, SoundFacts))
    return ClassCount(
        files=len(in_class),
        recordings=len({clip.recording for clip, _ in in_class}),
        minutes=round(seconds / 60, 2),
        folds=_tally(clip.fold for clip, _ in in_class if clip.fold),
    )


def _tally(values: Iterable[_Value]) -> dict[_Value, int]:
    return dict(sorted(Counter(values).items()))
