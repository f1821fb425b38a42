"""What is wrong with a data set, and what a person should know of it.

Conventions: what stops training or makes its scores wrong is an error, all else a warning. Each generator gives
one finding a kind, or none. A leak is one sound on both sides of a split.
Source: UrbanSound8K's five recordings in two folds are its own; `train` leaves them out, so they are a warning.
Does not: decode (`data/audio_facts.py`).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from soundwatch.daemon.core.errors import DataError
from soundwatch.training.data.audio_facts import SoundFacts
from soundwatch.training.data.class_folders import TEST_SHARE, hold_out
from soundwatch.training.data.urbansound8k import Clip

Measured = Sequence[tuple[Clip, SoundFacts | str]]
Sounds = Sequence[tuple[Clip, SoundFacts]]
Severity = Literal["error", "warning"]

QUIET_DBFS: Final = -60.0
CLIPPED_SHARE: Final = 1e-3
SHOWN: Final = 10
_MEND: Final = "Replace them, or take them out."


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something to mend or to know.

    Attributes:
        severity: An error makes training wrong.
        kind: What it is.
        count: Of the files, folds or classes concerned.
        text: What was seen and what to do.
        examples: The first of them.
    """

    severity: Severity
    kind: str
    count: int
    text: str
    examples: tuple[str, ...]


def _finding(severity: Severity, kind: str, seen: Sequence[Path | str], root: Path, text: str) -> Iterator[Finding]:
    """One finding, or none where nothing was seen."""
    examples = tuple(str(each.relative_to(root)) if isinstance(each, Path) else each for each in seen[:SHOWN])
    if seen:
        yield Finding(severity=severity, kind=kind, count=len(seen), text=text, examples=examples)


def find_faults(measured: Measured, root: Path) -> Iterator[Finding]:
    """Files that training would stop at."""
    unreadable = [(clip.path, facts) for clip, facts in measured if isinstance(facts, str)]
    reason = unreadable[0][1].rstrip(".") if unreadable else ""
    text = f"Files that cannot be decoded, the first because: {reason}. {_MEND}"
    yield from _finding("error", "unreadable", [path for path, _ in unreadable], root, text)
    sounds = [(clip, facts) for clip, facts in measured if isinstance(facts, SoundFacts)]
    yield from _those(
        sounds, lambda facts: not facts.duration_s, "error", "empty", root, f"Files without sound. {_MEND}"
    )
    yield from _those(
        sounds, lambda facts: not facts.finite, "error", "not finite", root, f"Files with NaN or infinity. {_MEND}"
    )


def find_oddities(sounds: Sounds, root: Path) -> Iterator[Finding]:
    """Files that train, and may not teach what they should."""
    full = [(clip, facts) for clip, facts in sounds if facts.duration_s and facts.finite]
    yield from _those(
        full, lambda facts: facts.peak_dbfs == -math.inf, "warning", "silent", root, "Files of digital silence only."
    )
    yield from _those(
        full,
        lambda facts: -math.inf < facts.peak_dbfs < QUIET_DBFS,
        "warning",
        "nearly silent",
        root,
        f"Files that never reach {QUIET_DBFS:.0f} dBFS.",
    )
    yield from _those(
        full,
        lambda facts: facts.clipped_share > CLIPPED_SHARE,
        "warning",
        "clipped",
        root,
        f"Files with more than {CLIPPED_SHARE:.1%} of their samples at full scale.",
    )
    yield from _those(
        full,
        lambda facts: facts.opposite_channels,
        "warning",
        "opposite channels",
        root,
        "Files whose channels cancel each other, so that a mono model gets silence. Keep one channel of each.",
    )


def _those(
    sounds: Sounds, wanted: Callable[[SoundFacts], bool], severity: Severity, kind: str, root: Path, text: str
) -> Iterator[Finding]:
    return _finding(severity, kind, [clip.path for clip, facts in sounds if wanted(facts)], root, text)


def find_copies(sounds: Sounds, root: Path) -> Iterator[Finding]:
    """Files of one content: across classes they contradict each other, across folds or recordings they leak."""
    by_content: dict[str, list[Clip]] = defaultdict(list)
    for clip, facts in sounds:
        if facts.duration_s and facts.peak_dbfs > -math.inf:
            by_content[facts.content].append(clip)
    copies = [clips for clips in by_content.values() if len(clips) > 1]

    def named(clips: Sequence[Clip]) -> str:
        return " = ".join(str(clip.path.relative_to(root)) for clip in clips)

    torn = [named(each) for each in copies if len({clip.class_id for clip in each}) > 1]
    text = "Sounds that stand in two classes. Keep each in the one that it is of."
    yield from _finding("error", "two classes", torn, root, text)
    one_class = [each for each in copies if len({clip.class_id for clip in each}) == 1]
    apart = [each for each in one_class if len({clip.fold or clip.recording for clip in each}) > 1]
    text = (
        "Sounds that stand in two folds or under two recordings, so that one may be scored that was learned. Keep one."
    )
    yield from _finding("error", "leak", [named(each) for each in apart], root, text)
    beside = [named(each) for each in one_class if each not in apart]
    yield from _finding("warning", "copies", beside, root, "Sounds that are there more than once. One is enough.")


def about_metadata(clips: Sequence[Clip], root: Path) -> Iterator[Finding]:
    """UrbanSound8K's list against its folders."""
    listed, there = Counter(clip.fold for clip in clips), Counter(clip.fold for clip in clips if clip.path.is_file())
    absent = [f"fold{fold}" for fold in sorted(listed) if not there[fold]]
    text = "Folds without a clip. The others can be used; `soundwatch data download` gets all."
    yield from _finding("error" if not there else "warning", "absent", absent, root, text)
    gone = [clip.path for clip in clips if there[clip.fold] and not clip.path.is_file()]
    yield from _finding("warning", "missing", gone, root, "Clips that the metadata lists and that have no file.")
    known = {clip.path for clip in clips}
    strays = [path for path in sorted((root / "audio").glob("fold*/*")) if path.is_file() and path not in known]
    sounds = [path for path in strays if not path.name.startswith(".")]
    yield from _finding(
        "warning", "not listed", sounds, root, "Files that the metadata does not list; they are not used."
    )
    folds: dict[str, set[int]] = defaultdict(set)
    for clip in clips:
        if clip.path.is_file():
            folds[clip.recording].add(clip.fold)
    split = [f"{name} in folds {', '.join(map(str, sorted(each)))}" for name, each in folds.items() if len(each) > 1]
    text = "Recordings that stand in two folds. `train` leaves them out of training where they are scored."
    yield from _finding("warning", "two folds", split, root, text)


def about_folders(
    labels: tuple[str, ...], clips: tuple[Clip, ...], ignored: Sequence[Path], root: Path
) -> Iterator[Finding]:
    """A folder a class: whether it can be split, and what is no recording."""
    try:
        hold_out(labels, clips, TEST_SHARE)
    except DataError as error:
        yield Finding(severity="error", kind="too few", count=1, text=str(error), examples=())
    yield from _finding(
        "warning", "no recording", list(ignored), root, "Files that libsndfile does not read; not used."
    )
