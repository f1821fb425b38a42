"""UrbanSound8K's own layout as typed records, and splits that keep a recording on one side.

Conventions: `metadata/UrbanSound8K.csv` and `audio/fold1/` to `audio/fold10/` under one folder. Folds
are numbered from 1. A recording is the number before the first dash of a clip's file name: one
Freesound upload, of which several clips were cut.
Source: Salamon, Jacoby and Bello, "A Dataset and Taxonomy for Urban Sound Research", 2014. Its authors
ask for the official folds: a random split puts pieces of one recording on both sides and flatters any network.
Even the official folds share five recordings (106905, 132016, 176638, 180937, 77751); clips to train on
whose recording is scored are left out here.
Does not: open audio (`data/cache.py`).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from soundwatch.daemon.core.errors import ConfigError, DataError
from soundwatch.training.model.labels import LABELS

COLUMNS: Final = ("slice_file_name", "fold", "classID", "class")
OBTAIN: Final = (
    "UrbanSound8K (8732 clips, 6 GB, CC BY-NC 3.0) is had by `pip install soundata` and "
    "`soundwatch data download DIR`, or by hand from "
    "https://urbansounddataset.weebly.com/urbansound8k.html. Then give the folder that holds audio/ and metadata/."
)
LEAKY_TEST_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled piece of a recording.

    Attributes:
        path: Its file.
        fold: Official fold, from 1; 0 for a clip that is not UrbanSound8K's.
        class_id: Place of its class among the split's labels; None where it is none of them.
        recording: What it was cut from; clips of one recording never stand on both sides of a split.
        windows: That an epoch takes of it, each from another place.
    """

    path: Path
    fold: int
    class_id: int | None
    recording: str
    windows: int = 1

    @property
    def name(self) -> str:
        """Its file's name; with its folder before it where files of two classes may be called alike."""
        alike = self.fold == 0 and self.class_id is not None
        return f"{self.path.parent.name}/{self.path.name}" if alike else self.path.name


@dataclass(frozen=True, slots=True)
class Split:
    """The clips of one run.

    Attributes:
        train: Learned from.
        test: Only scored.
        train_folds: Official folds that `train` comes from.
        test_folds: Official folds that `test` comes from.
        leaky: True where clips were dealt out at random, so that recordings stand on both sides.
        missing: Per fold used, how many of its clips have no file.
        withheld: Clips of the train folds left out of `train` because their recording is in `test`.
        labels: The classes that `class_id` counts through.
        folder: Name of the folder whose folders are the classes; None for UrbanSound8K.
        ignored: Files of that folder that are no recordings.
        terms: Of weights that are learned from it, where that folder says.
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
    terms: str | None = None


def read_metadata(root: Path) -> tuple[Clip, ...]:
    """Every clip that the metadata lists, whether its file is there or not, in the metadata's order.

    Raises:
        DataError: There is no such folder or file, or its columns are others.
    """
    metadata = root / "metadata" / "UrbanSound8K.csv"
    if not metadata.is_file():
        raise DataError(
            f"No {metadata}; a folder in UrbanSound8K's layout was wanted. For a folder of recordings a class of your "
            f"own, add --layout folders. {OBTAIN}"
        )
    try:
        with metadata.open(newline="", encoding="utf-8") as file:
            clips = _read_rows(csv.DictReader(file), root, metadata)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{metadata} does not read: {error}; the original file was wanted. {OBTAIN}") from error
    if not clips:
        raise DataError(f"{metadata} lists no clips. {OBTAIN}")
    return clips


def _read_rows(rows: csv.DictReader[str], root: Path, metadata: Path) -> tuple[Clip, ...]:
    """All lines of the metadata."""
    columns = rows.fieldnames or []
    lacking = [column for column in COLUMNS if column not in columns]
    if lacking:
        raise DataError(
            f"{metadata} has the columns {', '.join(columns) or '(none)'} and lacks {', '.join(lacking)}; "
            f"the original file was wanted. {OBTAIN}"
        )
    return tuple(_clip(root, row, f"{metadata} line {rows.line_num}") for row in rows)


def _clip(root: Path, row: dict[str, str], where: str) -> Clip:
    """One line of the metadata."""
    name = row["slice_file_name"] or ""
    try:
        fold, class_id = int(row["fold"]), int(row["classID"])
        known = 0 <= class_id < len(LABELS) and LABELS[class_id] == row["class"]
    except (TypeError, ValueError):
        known = False
    if not known or not name or "\0" in name or Path(name).name != name:
        raise DataError(
            f"{where} says {row}; a file name, a fold, and a classID and class out of UrbanSound8K's ten were wanted."
        )
    return Clip(root / "audio" / f"fold{fold}" / name, fold, class_id, name.partition("-")[0])


def split_by_folds(root: Path, train_folds: tuple[int, ...] | None, test_folds: tuple[int, ...]) -> Split:
    """The official split.

    Args:
        root: The folder with audio/ and metadata/.
        train_folds: To learn from; None is every fold that is there and not tested on.
        test_folds: To score; may be empty.

    Raises:
        ConfigError: A fold stands on both sides.
        DataError: A fold is not there.
    """
    listed = read_metadata(root)
    present = [clip for clip in listed if clip.path.is_file()]
    folds = {clip.fold for clip in present}
    if train_folds is None:
        train_folds = tuple(sorted(folds - set(test_folds)))
    both = sorted(set(train_folds) & set(test_folds))
    if both:
        raise ConfigError(f"Fold {both[0]} is to be trained on and tested on; a fold may do one of the two.")
    for fold in (*train_folds, *test_folds):
        if fold not in folds:
            there = ", ".join(str(each) for each in sorted(folds)) or "none"
            raise DataError(f"Fold {fold} has no clips in {root / 'audio'}; folds there: {there}. {OBTAIN}")
    test = tuple(clip for clip in present if clip.fold in test_folds)
    scored = {clip.recording for clip in test}
    wanted = [clip for clip in present if clip.fold in train_folds]
    train = tuple(clip for clip in wanted if clip.recording not in scored)
    if not train:
        raise DataError(f"No clips are left to train on in {root}; folds there: {sorted(folds)}. {OBTAIN}")
    missing = _count_missing(listed, present, {*train_folds, *test_folds})
    return Split(train, test, train_folds, test_folds, False, missing, len(wanted) - len(train))


def split_leakily(root: Path, seed: int) -> Split:
    """A random fifth of all clips to score on, as tutorials split: its scores measure nothing.

    Raises:
        DataError: There are no clips.
    """
    whole = split_by_folds(root, None, ())
    order = np.random.default_rng(seed).permutation(len(whole.train))
    n_test = round(LEAKY_TEST_SHARE * len(order))
    test = tuple(whole.train[index] for index in sorted(order[:n_test]))
    train = tuple(whole.train[index] for index in sorted(order[n_test:]))
    return Split(train, test, whole.train_folds, whole.train_folds, True, whole.missing, 0)


def _count_missing(listed: Iterable[Clip], present: Iterable[Clip], folds: set[int]) -> dict[int, int]:
    """Per fold, the clips listed less the clips there, where that is not 0."""
    counts = Counter(clip.fold for clip in listed if clip.fold in folds)
    counts.subtract(clip.fold for clip in present if clip.fold in folds)
    return {fold: count for fold, count in sorted(counts.items()) if count}
