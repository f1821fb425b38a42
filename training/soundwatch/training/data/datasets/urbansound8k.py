"""Reader of UrbanSound8K's layout, and splits that keep each recording on one side.

Conventions: `metadata/UrbanSound8K.csv` and `audio/fold1/` to `audio/fold10/` under one folder, or, as in Kaggle's
copy, the CSV file beside `fold1/` to `fold10/`. Folds
are numbered from 1. A recording is the number before the first dash of a clip's file name: one
Freesound upload, from which several clips were cut.
Source: Salamon, Jacoby and Bello, "A Dataset and Taxonomy for Urban Sound Research", 2014. Its authors
ask for the official folds: a random split puts pieces of one recording on both sides and inflates all scores.
Even the official folds share five recordings (106905, 132016, 176638, 180937, 77751); training clips
whose recording is in the test set are left out here.
Does not: open audio (`data/windows/cache.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from soundwatch.daemon.core.errors import ConfigError, DataError
from soundwatch.training.data.datasets.metadata_table import Row, describe_row, read_table
from soundwatch.training.model.labels import LABELS

COLUMNS: Final = ("slice_file_name", "fold", "classID", "class")
OBTAIN: Final = (
    "UrbanSound8K (8732 clips, 6 GB, CC BY-NC 3.0) is available with `pip install soundata` and "
    "`soundwatch data download DIR`, or by hand from "
    "https://urbansounddataset.weebly.com/urbansound8k.html. Then give the folder that holds audio/ and metadata/."
)
ADVICE: Final = f"The original file was expected. {OBTAIN}"
LEAKY_TEST_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Clip:
    """One labeled piece of a recording.

    Attributes:
        path: Path of the file.
        fold: Official fold, from 1; 0 for a clip that is not UrbanSound8K's.
        class_id: Index of its class in the split's labels; None for a negative.
        recording: Original recording; all clips of a recording are on one side of a split.
        windows: Number of windows per epoch, each at another position.
    """

    path: Path
    fold: int
    class_id: int | None
    recording: str
    windows: int = 1

    @property
    def is_there(self) -> bool:
        """True if the file exists.

        Raises:
            DataError: The system refuses to look.
        """
        try:
            return self.path.is_file()
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be looked at: {error.strerror}. Correct the name or the folder's permissions."
            ) from error

    @property
    def name(self) -> str:
        """File name, with its folder where two classes may have files of one name."""
        ambiguous = self.fold == 0 and self.class_id is not None
        return f"{self.path.parent.name}/{self.path.name}" if ambiguous else self.path.name


@dataclass(frozen=True, slots=True)
class Split:
    """Training and test clips of one run.

    Attributes:
        train: Training clips.
        test: Test clips.
        train_folds: Official folds that `train` comes from.
        test_folds: Official folds that `test` comes from.
        leaky: True for a random split, which puts recordings on both sides.
        missing: Number of clips without a file, per fold.
        withheld: Clips of the train folds left out of `train` because their recording is in `test`.
        labels: Names of the classes, in the order of `class_id`.
        folder: Name of the folder with the class folders; None for UrbanSound8K.
        ignored: Number of files in that folder that are not recordings.
        far_off: A sentence for each class of which far more or fewer clips are in `test` than wanted.
        terms: Terms for weights trained on it, if the folder has some.
    """

    train: tuple[Clip, ...]
    test: tuple[Clip, ...]
    train_folds: tuple[int, ...]
    test_folds: tuple[int, ...]
    leaky: bool
    missing: dict[int, int]
    withheld: int
    labels: tuple[str, ...] = LABELS
    folder: str | None = None
    ignored: int = 0
    far_off: tuple[str, ...] = ()
    terms: str | None = None


def read_metadata(root: Path) -> tuple[Clip, ...]:
    """Read all clips of the metadata in its order, with or without a file.

    Raises:
        DataError: The folder or file does not exist, or a column is missing.
    """
    metadata = find_metadata(root)
    if metadata is None:
        raise DataError(
            f"No {metadata_paths(root)[0]}; a folder in UrbanSound8K's layout was expected. {_other_folder(root)}"
            f"For your own folder of recordings per class, add --layout folders. {OBTAIN}"
        )
    audio = audio_folder(root)
    return tuple(_clip(audio, row, where) for where, row in read_table(metadata, COLUMNS, ADVICE))


def _other_folder(root: Path) -> str:
    """Return a sentence about a folder above or below that is in the layout, or about an archive; else nothing."""
    if root.suffix.lower() in (".zip", ".tar", ".gz", ".tgz"):
        return f"{root.name} is an archive; unpack it. "
    below = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    found = next((folder for folder in (*below, *root.parents[:2]) if find_metadata(folder)), None)
    return f"Give {found}, which is one. " if found else ""


def metadata_paths(root: Path) -> tuple[Path, Path]:
    """Return where the metadata is: in the original data set, and in Kaggle's copy."""
    return root / "metadata" / "UrbanSound8K.csv", root / "UrbanSound8K.csv"


def find_metadata(root: Path) -> Path | None:
    """Return the metadata file; None if there is none."""
    return next((path for path in metadata_paths(root) if path.is_file()), None)


def audio_folder(root: Path) -> Path:
    """Return the folder with the folds: audio/, or in Kaggle's copy the one of the metadata."""
    audio = root / "audio"
    return audio if audio.is_dir() or not metadata_paths(root)[1].is_file() else root


def _clip(audio: Path, row: Row, where: str) -> Clip:
    """Parse one row of the metadata."""
    name = row["slice_file_name"]
    try:
        fold, class_id = int(row["fold"]), int(row["classID"])
        known = 0 <= class_id < len(LABELS) and LABELS[class_id] == row["class"]
    except ValueError:
        known = False
    if not known or not name or "\0" in name or Path(name).name != name:
        raise DataError(
            f"{where} has {describe_row(row)}; a file name, a fold, and a classID and class out of UrbanSound8K's ten "
            "were expected. Correct or remove the line, or take the original file."
        )
    return Clip(audio / f"fold{fold}" / name, fold, class_id, name.partition("-")[0])


def split_by_folds(root: Path, train_folds: tuple[int, ...] | None, test_folds: tuple[int, ...]) -> Split:
    """Split by the official folds.

    Args:
        root: The folder with audio/ and metadata/.
        train_folds: Training folds; None means every present fold that is not a test fold.
        test_folds: Test folds; may be empty.

    Raises:
        ConfigError: A fold is on both sides.
        DataError: A fold is missing, or a clip is listed twice.
    """
    listed = read_metadata(root)
    refuse_listed_twice(listed)
    present = [clip for clip in listed if clip.is_there]
    folds = {clip.fold for clip in present}
    if train_folds is None:
        train_folds = tuple(sorted(folds - set(test_folds)))
    both = sorted(set(train_folds) & set(test_folds))
    if both:
        raise ConfigError(f"Fold {both[0]} is to be trained on and tested on; a fold may do one of the two.")
    for fold in (*train_folds, *test_folds):
        if fold not in folds:
            found = ", ".join(str(number) for number in sorted(folds)) or "none"
            missing_clip = next((clip for clip in listed if clip.fold == fold), None)
            first = f"The first that the metadata lists is {missing_clip.path}. " if missing_clip else ""
            raise DataError(f"Fold {fold} has no clips in {audio_folder(root)}; folds there: {found}. {first}{OBTAIN}")
    test = tuple(clip for clip in present if clip.fold in test_folds)
    scored = {clip.recording for clip in test}
    wanted = [clip for clip in present if clip.fold in train_folds]
    train = tuple(clip for clip in wanted if clip.recording not in scored)
    if not train:
        raise DataError(f"No clips are left to train on in {root}; folds there: {sorted(folds)}. {OBTAIN}")
    missing = _count_missing(listed, present, {*train_folds, *test_folds})
    return Split(train, test, train_folds, test_folds, False, missing, len(wanted) - len(train))


def refuse_listed_twice(clips: Iterable[Clip]) -> None:
    """Refuse clips in two rows: they would have two classes, be in two folds, or count twice.

    Raises:
        DataError: A clip is listed twice.
    """
    twice = [path for path, count in Counter(clip.path for clip in clips).items() if count > 1]
    if twice:
        others = f", and {len(twice) - 1} more recordings" if len(twice) > 1 else ""
        raise DataError(
            f"{twice[0]} is listed in two rows{others}; each recording once was expected. Keep one row of each; "
            "`soundwatch data check` lists them."
        )


def split_leakily(root: Path, seed: int) -> Split:
    """Hold out a random fifth of all clips, as tutorials do: its scores are not valid.

    Raises:
        DataError: The folder has no clips.
    """
    whole = split_by_folds(root, None, ())
    order = np.random.default_rng(seed).permutation(len(whole.train))
    n_test = round(LEAKY_TEST_SHARE * len(order))
    test = tuple(whole.train[index] for index in sorted(order[:n_test]))
    train = tuple(whole.train[index] for index in sorted(order[n_test:]))
    return Split(train, test, whole.train_folds, whole.train_folds, True, whole.missing, 0)


def _count_missing(listed: Iterable[Clip], present: Iterable[Clip], folds: set[int]) -> dict[int, int]:
    """Count the listed clips without a file, per fold, where there are any."""
    counts = Counter(clip.fold for clip in listed if clip.fold in folds)
    counts.subtract(clip.fold for clip in present if clip.fold in folds)
    return {fold: count for fold, count in sorted(counts.items()) if count}
