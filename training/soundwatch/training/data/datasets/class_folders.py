"""Data sets with one folder per class, and a split that keeps each recording on one side.

Conventions: a folder's name is the class. A recording is identified by a file's name up to its first dash, or by
the folder below the class folder; the name is shared by all classes, so a recording in
two classes is one recording. Other files are left out and counted. Names are compared in Unicode's composed form.
Lengths are free: an epoch takes as many windows of a recording as fit into it, up to one minute.
A hash of their names selects the test recordings, so every run holds out the same ones.
Does not: decode (`data/windows/cache.py`), or check the recordings (`data/checks/check.py`).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from soundwatch.daemon.capture.recordings.files import files_under
from soundwatch.daemon.capture.recordings.recording import RECORDING_SUFFIXES
from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.files.paths import read_text
from soundwatch.daemon.core.model.contract_text import LONGEST_TEXT, is_class_name
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.training.data.audio.read_audio import measure_duration_s
from soundwatch.training.data.datasets.urbansound8k import Clip, Split

RULE: Final = "a recording is a file's name up to its first dash, or the folder it lies in below its class's"
TEST_SHARE: Final = 0.2
TERMS: Final = "TERMS.txt"  # optional terms for weights that are trained on a folder
_LONGEST_S: Final = 60


def list_folders(root: Path) -> tuple[tuple[str, ...], tuple[Clip, ...], tuple[Path, ...]]:
    """List the classes, their recordings and other files, each sorted by name.

    Raises:
        DataError: The folder does not exist or has no folders, or one has no recordings or no valid class name.
    """
    if not root.is_dir():
        raise DataError(f"No folder {root}; a folder that holds a folder of recordings for each class was expected.")
    folders = {_folder_label(path): path for path in _class_folders(root)}
    loose = [path for path in sorted(root.iterdir()) if path.is_file() and not path.name.startswith(".")]
    clips, ignored = ([], [path for path in loose if path.name != TERMS])
    for class_id, label in enumerate(sorted(folders)):
        under = files_under(folders[label])
        if under.left_out:
            raise DataError(under.left_out[0])
        sounds = under.with_suffix(RECORDING_SUFFIXES)
        if not sounds:
            raise DataError(
                f"The folder {folders[label]} holds no recording that can be read; WAV, FLAC, OGG, MP3, M4A or another "
                "format was expected. Add some, convert them, or remove the folder."
            )
        clips += [Clip(path, 0, class_id, recording_of(path, folders[label])) for path in sounds]
        ignored += sorted({*under.files} - {*sounds})
    return tuple(sorted(folders)), tuple(clips), tuple(ignored)


def _class_folders(root: Path) -> list[Path]:
    """List the class folders.

    Raises:
        DataError: There is none, or two have one name.
    """
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise DataError(
            f"{root} holds no folders; one for each class was expected, named as the class, with its recordings in it."
        )
    labels = Counter(_folder_label(path) for path in folders)
    for label, count in labels.items():
        if count > 1:
            raise DataError(
                f"{count} folders in {root} are named {label}, in different forms of Unicode. Put their recordings "
                "into one folder."
            )
    return folders


def _folder_label(folder: Path) -> str:
    return class_label(folder.name, "The folder")


def class_label(name: str, what: str) -> str:
    """Return a class: the name in Unicode's composed form, since macOS writes folders in the other one.

    Args:
        name: The name.
        what: Beginning of the sentence about a name that cannot be a class.

    Raises:
        DataError: The name cannot be a class.
    """
    label = unicodedata.normalize("NFC", name)
    if not is_class_name(label):
        raise DataError(
            f"{what} {name!r} cannot name a class: letters, digits, spaces, dots, dashes and "
            "underscores can, and a letter or digit comes first, in at most 255 bytes. Rename it."
        )
    return label


def recording_of(path: Path, folder: Path) -> str:
    """Return the recording of a file in a class folder, by the rule above."""
    parts = path.relative_to(folder).parts
    name = parts[0] if len(parts) > 1 else path.stem.partition("-")[0]
    return unicodedata.normalize("NFC", name)


def split_folders(root: Path, spec: FeatureSpec | None, test_share: float) -> Split:
    """Split the recordings into training and test recordings.

    Args:
        root: Folder with one folder per class.
        spec: Front end, for the length of a window; None without training.
        test_share: Share of test clips per class, in whole recordings; 0 tests on none, 1 on all.

    Raises:
        DataError: The folder is wrong, a file's length cannot be read, or a class has too few recordings.
    """
    labels, listed, ignored = list_folders(root)
    clips = [count_windows(clip, spec) for clip in listed] if spec else listed
    held_out = hold_out(labels, listed, test_share)
    return replace(
        split_by_recordings(clips, held_out, labels, root.resolve().name),
        ignored=len(ignored),
        far_off=far_off_shares(labels, listed, held_out, test_share),
        terms=_terms(root / TERMS),
    )


def split_by_recordings(
    clips: Collection[Clip], held_out: Collection[str], labels: tuple[str, ...], folder: str
) -> Split:
    """Split the clips of a data set of the user into those of held-out recordings and the others.

    Args:
        clips: All clips.
        held_out: Names of the recordings to test on.
        labels: Names of the classes, in the order of `class_id`.
        folder: Name of the data set.
    """
    return Split(
        train=tuple(clip for clip in clips if clip.recording not in held_out),
        test=tuple(clip for clip in clips if clip.recording in held_out),
        train_folds=(),
        test_folds=(),
        leaky=False,
        missing={},
        withheld=0,
        labels=labels,
        folder=folder,
    )


def _terms(path: Path) -> str | None:
    try:
        return " ".join(read_text(path, LONGEST_TEXT).split()) or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}. Correct or remove it.") from error


def count_windows(clip: Clip, spec: FeatureSpec) -> Clip:
    """Return the clip with its number of windows per epoch."""
    duration_s = min(measure_duration_s(clip.path, _LONGEST_S), _LONGEST_S)
    return Clip(clip.path, clip.fold, clip.class_id, clip.recording, max(1, int(duration_s * 1000 // spec.window_ms)))


def hold_out(labels: tuple[str, ...], clips: tuple[Clip, ...], share: float) -> set[str]:
    """Select the test recordings: a share of each class's clips, at least one, leaving at least one for training."""
    if share in (0, 1):
        return {clip.recording for clip in clips if share}
    classes = _recordings_by_class(labels, clips)
    held_out: set[str] = set()
    for label, recordings in sorted(classes.items(), key=lambda item: (len(item[1]), item[0])):
        wanted = _wanted_clips(recordings, share)
        for recording in sorted(recordings.keys() - held_out, key=_draw):
            held = sum(recordings[name] for name in held_out & recordings.keys())
            nearer = abs(held + recordings[recording] - wanted) < abs(held - wanted)
            if nearer and _leaves_some(classes, held_out | {recording}):
                held_out.add(recording)
        if not held_out & recordings.keys():  # each holds too many clips
            smallest = sorted(recordings, key=lambda name: (recordings[name], _draw(name)))
            held_out |= {*[name for name in smallest if _leaves_some(classes, held_out | {name})][:1]}
        if not held_out & recordings.keys():
            raise DataError(_too_few(label, len(recordings)))
    return held_out


def far_off_shares(
    labels: tuple[str, ...], clips: tuple[Clip, ...], held_out: Collection[str], share: float
) -> tuple[str, ...]:
    """Name the classes of which far more or fewer clips are held out than wanted, since recordings are whole."""
    found = list[str]()
    for label, recordings in _recordings_by_class(labels, clips).items():
        wanted = _wanted_clips(recordings, share)
        held = sum(count for name, count in recordings.items() if name in held_out)
        if 0 < share < 1 and abs(held - wanted) > 1 and not wanted / 2 <= held <= 2 * wanted:
            found.append(
                f"{label}: {held} of {recordings.total()} clips are held out instead of {wanted}, in {len(recordings)} "
                "recordings"
            )
    return tuple(found)


def _recordings_by_class(labels: tuple[str, ...], clips: tuple[Clip, ...]) -> dict[str, Counter[str]]:
    """Count the clips of each recording of each class."""
    return {label: Counter(clip.recording for clip in clips if clip.class_id == k) for k, label in enumerate(labels)}


def _wanted_clips(recordings: Counter[str], share: float) -> int:
    return max(1, round(share * recordings.total()))


def _draw(recording: str) -> str:
    return hashlib.sha256(recording.encode()).hexdigest()


def _leaves_some(classes: Mapping[str, Counter[str]], held_out: set[str]) -> bool:
    return all(recordings.keys() - held_out for recordings in classes.values())


def _too_few(label: str, count: int) -> str:
    has = "1 recording" if count == 1 else f"{count} recordings, which other classes need"
    return (
        f"The class {label} has {has}; at least 2 of its own were expected, one to learn from and one to score "
        f"({RULE}). Add recordings, rename files that only look like parts of one, or train without a score: "
        "--test-share 0."
    )
