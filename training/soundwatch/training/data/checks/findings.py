"""Findings of a data check: errors and warnings.

Conventions: a finding that stops training or makes its scores wrong is an error, any other a warning. Each generator
yields at most one finding per kind. A leak is one sound on both sides of a split.
Source: UrbanSound8K itself has five recordings in two folds; `train` leaves them out, so they are a warning.
Does not: decode (`data/checks/audio_facts.py`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from soundwatch.daemon.capture.recordings.findings import ADVICE
from soundwatch.daemon.capture.samples.recording_error import FaultKind
from soundwatch.daemon.core.errors import DataError
from soundwatch.training.data.checks.audio_facts import SoundFacts, SoundFault
from soundwatch.training.data.datasets.class_folders import RULE, TEST_SHARE, far_off_shares, hold_out
from soundwatch.training.data.datasets.urbansound8k import Clip, audio_folder

Measured = Sequence[tuple[Clip, SoundFacts | SoundFault]]
Sounds = Sequence[tuple[Clip, SoundFacts]]
Severity = Literal["error", "warning"]

FAULTS: Final[dict[FaultKind, str]] = {
    "unreadable": "Files that cannot be decoded.",
    "empty": "Files without sound.",
    "shorter than declared": "Files that are truncated or damaged.",
    "not finite": "Files with NaN or infinity.",
    "beyond full scale": "Files with samples far beyond full scale, -1 to 1.",
}
SHOWN: Final = 10
_REMEDY: Final = "Replace them, or take them out."


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of fault in a data set.

    Attributes:
        severity: An error makes training wrong.
        kind: Name of the fault.
        count: Number of files, folds or classes concerned.
        text: Description and advice.
        examples: The first files, folds or classes concerned.
    """

    severity: Severity
    kind: str
    count: int
    text: str
    examples: tuple[str, ...]


_FOLDER_ADVICE: Final = (
    "Classes whose recordings are too large for a share of 0.2 for testing. A recording is never split; name the files "
    f"so that {RULE}."
)


def _finding(severity: Severity, kind: str, seen: Sequence[Path | str], root: Path, text: str) -> Iterator[Finding]:
    """Yield one finding, or none if nothing was seen."""
    examples = tuple(str(item.relative_to(root)) if isinstance(item, Path) else item for item in seen[:SHOWN])
    if seen:
        yield Finding(severity=severity, kind=kind, count=len(seen), text=text, examples=examples)


def find_faults(measured: Measured, root: Path) -> Iterator[Finding]:
    """Find files that would stop the training."""
    for kind, text in FAULTS.items():
        faulty = [
            (clip.path, fault) for clip, fault in measured if isinstance(fault, SoundFault) and fault.kind == kind
        ]
        first = f" The first: {faulty[0][1].message}" if faulty else ""
        yield from _finding("error", kind, [path for path, _ in faulty], root, f"{text} {_REMEDY}{first}")


def find_oddities(sounds: Sounds, root: Path) -> Iterator[Finding]:
    """Find files that can be trained on, but may harm the result: what the daemon's commands say of each."""
    for kind, text in ADVICE.items():
        found = [clip.path for clip, facts in sounds if kind in facts.findings]
        yield from _finding("warning", kind, found, root, f"Of each of these files: {text}")


def find_copies(sounds: Sounds, root: Path) -> Iterator[Finding]:
    """Find files with equal content: a contradiction across classes, a leak across folds or recordings."""
    by_content: dict[str, list[Clip]] = defaultdict(list)
    for clip, facts in sounds:
        if "silent" not in facts.findings:
            by_content[facts.content].append(clip)
    copies = [clips for clips in by_content.values() if len(clips) > 1]

    def named(clips: Sequence[Clip]) -> str:
        return " = ".join(str(clip.path.relative_to(root)) for clip in clips)

    contradictory = [named(clips) for clips in copies if len({clip.class_id for clip in clips}) > 1]
    text = "Sounds in two classes. Keep each in its correct class."
    yield from _finding("error", "two classes", contradictory, root, text)
    one_class = [clips for clips in copies if len({clip.class_id for clip in clips}) == 1]
    leaks = [clips for clips in one_class if len({clip.fold or clip.recording for clip in clips}) > 1]
    text = "Sounds in two folds or under two recordings, so a test clip may be in the training set. Keep one of them."
    yield from _finding("error", "leak", [named(clips) for clips in leaks], root, text)
    duplicates = [named(clips) for clips in one_class if clips not in leaks]
    yield from _finding("warning", "copies", duplicates, root, "Sounds that occur more than once. One is enough.")


def about_metadata(clips: Sequence[Clip], root: Path) -> Iterator[Finding]:
    """Compare UrbanSound8K's metadata with its folders."""
    listed, present = Counter(clip.fold for clip in clips), Counter(clip.fold for clip in clips if clip.is_there)
    absent = [f"fold{fold}" for fold in sorted(listed) if not present[fold]]
    text = "Folds without a clip. The others can be used; `soundwatch data download` gets all."
    yield from _finding("error" if not present else "warning", "absent", absent, root, text)
    gone = [clip.path for clip in clips if present[clip.fold] and not clip.is_there]
    yield from _finding("warning", "missing", gone, root, "Clips that the metadata lists and that have no file.")
    yield from _listed_twice(clips, root)
    known = {clip.path for clip in clips}
    strays = [path for path in sorted(audio_folder(root).glob("fold*/*")) if path.is_file() and path not in known]
    sounds = [path for path in strays if not path.name.startswith(".")]
    yield from _finding(
        "warning", "not listed", sounds, root, "Files that the metadata does not list; they are not used."
    )
    folds: dict[str, set[int]] = defaultdict(set)
    for clip in clips:
        if clip.is_there:
            folds[clip.recording].add(clip.fold)
    split = [
        f"{name} in folds {', '.join(map(str, sorted(in_folds)))}"
        for name, in_folds in folds.items()
        if len(in_folds) > 1
    ]
    text = "Recordings in two folds. `train` leaves them out of the training set if they are in the test set."
    yield from _finding("warning", "two folds", split, root, text)


def _listed_twice(clips: Sequence[Clip], root: Path) -> Iterator[Finding]:
    """Find files in two rows."""
    twice = [path for path, count in Counter(clip.path for clip in clips).items() if count > 1]
    yield from _finding("error", "listed twice", twice, root, "Recordings in two rows; a recording has one class.")


def about_csv(labels: tuple[str, ...], clips: tuple[Clip, ...], root: Path) -> Iterator[Finding]:
    """Check the rows of a CSV file: rows without a file, files in two rows, classes that cannot be split."""
    gone = [clip.path for clip in clips if not clip.is_there]
    yield from _finding("warning", "missing", gone, root, "Recordings that the CSV file lists and that have no file.")
    yield from _listed_twice(clips, root)
    advice = (
        "Classes whose folds are too large for a share of 0.2 for testing. A fold is never split; name --test-folds."
    )
    yield from about_folders(labels, tuple(clip for clip in clips if clip.is_there), (), root, advice)


def about_folders(
    labels: tuple[str, ...],
    clips: tuple[Clip, ...],
    ignored: Sequence[Path],
    root: Path,
    advice: str = _FOLDER_ADVICE,
) -> Iterator[Finding]:
    """Check a data set of class folders: classes that cannot be split, and files that are not recordings."""
    try:
        far_off = far_off_shares(labels, clips, hold_out(labels, clips, TEST_SHARE), TEST_SHARE)
        yield from _finding("warning", "share", far_off, root, advice)
    except DataError as error:
        yield Finding(severity="error", kind="too few", count=1, text=str(error), examples=())
    yield from _finding(
        "warning", "no recording", list(ignored), root, "Files that are no recordings, by their names; not used."
    )
