"""Data sets with one folder per class, and a split that keeps each recording on one side.

Conventions: a folder's name is the class. A recording is identified by a file's name up to its first dash, or by
the folder below the class folder; the name is shared by all classes, so a recording in
two classes is one recording. Files that libsndfile does not read are left out and counted.
Lengths are free: an epoch takes as many windows of a recording as fit into it, up to one minute.
A hash of their names selects the test recordings, so every run holds out the same ones.
Does not: decode (`data/cache.py`), or check the recordings (`data/check.py`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import soundfile

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.errors import DataError
from soundwatch.training.data.read_audio import measure_duration_s
from soundwatch.training.data.urbansound8k import Clip, Split

RULE: Final = "a recording is a file's name up to its first dash, or the folder it lies in below its class's"
TEST_SHARE: Final = 0.2
TERMS: Final = "TERMS.txt"  # optional terms for weights that are trained on a folder
SUFFIXES: Final = frozenset(
    {f".{name.lower()}" for name in soundfile.available_formats()} | {".aif", ".aifc", ".oga", ".opus", ".snd", ".wave"}
) - {".raw"}
_LONGEST_S: Final = 60
_LABEL: Final = re.compile(r"\w[\w .-]*")


def list_folders(root: Path) -> tuple[tuple[str, ...], tuple[Clip, ...], tuple[Path, ...]]:
    """List the classes, their recordings and other files, each sorted by name.

    Raises:
        DataError: The folder does not exist or has no folders, or one has no recordings or no valid class name.
    """
    if not root.is_dir():
        raise DataError(f"No folder {root}; a folder that holds a folder of recordings for each class was expected.")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise DataError(
            f"{root} holds no folders; one for each class was expected, named as the class, with its recordings in it."
        )
    loose = [path for path in sorted(root.iterdir()) if path.is_file() and not path.name.startswith(".")]
    clips, ignored = ([], [path for path in loose if path.name != TERMS])
    for class_id, folder in enumerate(folders):
        if not _LABEL.fullmatch(folder.name):
            raise DataError(
                f"The folder {folder.name!r} cannot name a class: letters, digits, spaces, dots, dashes and "
                "underscores can, and a letter or digit comes first. Rename it."
            )
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
        sounds = [path for path in files if path.suffix.lower() in SUFFIXES]
        if not sounds:
            raise DataError(
                f"The folder {folder} holds no recording that can be read; WAV, FLAC, OGG, MP3 or another format of "
                "libsndfile's was expected. Add some, convert them, or remove the folder."
            )
        clips += [Clip(path, 0, class_id, recording_of(path, folder)) for path in sounds]
        ignored += [path for path in files if path.suffix.lower() not in SUFFIXES]
    return tuple(folder.name for folder in folders), tuple(clips), tuple(ignored)


def recording_of(path: Path, folder: Path) -> str:
    """Return the recording of a file in a class folder, by the rule above."""
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else path.stem.partition("-")[0]


def split_folders(root: Path, spec: FeatureSpec | None, test_share: float) -> Split:
    """Split the recordings into training and test recordings.

    Args:
        root: Folder with one folder per class.
        spec: Front end, for the length of a window; None without training.
        test_share: Share of test recordings per class; 0 tests on none, 1 on all.

    Raises:
        DataError: The folder is wrong, a file's length cannot be read, or a class has too few recordings.
    """
    labels, listed, ignored = list_folders(root)
    clips = [_measured(clip, spec) for clip in listed] if spec else listed
    held_out = hold_out(labels, listed, test_share)
    return Split(
        train=tuple(clip for clip in clips if clip.recording not in held_out),
        test=tuple(clip for clip in clips if clip.recording in held_out),
        train_folds=(),
        test_folds=(),
        leaky=False,
        missing={},
        withheld=0,
        labels=labels,
        folder=root.resolve().name,
        ignored=len(ignored),
        terms=_terms(root / TERMS),
    )


def _terms(path: Path) -> str | None:
    try:
        return " ".join(path.read_text("utf-8").split()) or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}. Correct or remove it.") from error


def _measured(clip: Clip, spec: FeatureSpec) -> Clip:
    """Return the clip with its number of windows per epoch."""
    duration_s = min(measure_duration_s(clip.path, _LONGEST_S), _LONGEST_S)
    return Clip(clip.path, clip.fold, clip.class_id, clip.recording, max(1, int(duration_s * 1000 // spec.window_ms)))


def hold_out(labels: tuple[str, ...], clips: tuple[Clip, ...], share: float) -> set[str]:
    """Select the test recordings: a share of each class, at least one, leaving at least one for training."""
    if share in (0, 1):
        return {clip.recording for clip in clips if share}
    classes = {label: {clip.recording for clip in clips if clip.class_id == k} for k, label in enumerate(labels)}
    held_out: set[str] = set()
    for label, recordings in sorted(classes.items(), key=lambda item: (len(item[1]), item[0])):
        wanted = max(1, round(share * len(recordings)))
        for recording in sorted(recordings - held_out, key=_draw):
            if len(held_out & recordings) >= wanted:
                break
            if _leaves_some(classes, held_out | {recording}):
                held_out.add(recording)
        if not held_out & recordings:
            raise DataError(_too_few(label, len(recordings)))
    return held_out


def _draw(recording: str) -> str:
    return hashlib.sha256(recording.encode()).hexdigest()


def _leaves_some(classes: Mapping[str, set[str]], held_out: set[str]) -> bool:
    return all(recordings - held_out for recordings in classes.values())


def _too_few(label: str, count: int) -> str:
    has = "1 recording" if count == 1 else f"{count} recordings, which other classes need"
    return (
        f"The class {label} has {has}; at least 2 of its own were expected, one to learn from and one to score "
        f"({RULE}). Add recordings, rename files that only look like parts of one, or train without a score: "
        "--test-share 0."
    )
