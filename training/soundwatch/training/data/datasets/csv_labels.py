"""Data sets with a CSV file that names each recording's file and class, as ESC-50's.

Conventions: columns are named by the user: file, class and, optionally, fold. File names are relative to the CSV file's
folder, to `audio/` in it, or to the folder above and `audio/` in that; the first that holds the first file is taken.
With folds, a fold is never split and is held out as a whole. Without, each file is a recording of its own.
Does not: decode (`data/windows/cache.py`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import ConfigError, DataError
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.training.data.datasets.class_folders import (
    class_label,
    count_windows,
    far_off_shares,
    hold_out,
    split_by_recordings,
)
from soundwatch.training.data.datasets.metadata_table import Row, describe_row, read_table
from soundwatch.training.data.datasets.urbansound8k import Clip, Split, refuse_listed_twice

LONGEST_NAME_BYTES: Final = 255  # of a file or a folder, on the usual file systems
_ADVICE: Final = "With --layout csv, --data is the CSV file; name its columns with --columns FILE,CLASS[,FOLD]."
LONGEST_FILE_BYTES: Final = 2048  # with the folders before it; systems accept 4096 with the data set's own folder


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns of a CSV file: the recording's file, its class, and its fold or None."""

    file: str
    label: str
    fold: str | None = None


def list_csv(path: Path, columns: Columns) -> tuple[tuple[str, ...], tuple[Clip, ...], Path]:
    """List the classes, sorted by name, and the clips in the order of the file, and the recordings' folder.

    Raises:
        DataError: The file does not read, lacks a column, lists nothing, or no recording is where the rows say.
    """
    named = [name for name in (columns.file, columns.label, columns.fold) if name is not None]
    entries = [_entry(where, row, columns) for where, row in read_table(path, named, _ADVICE)]
    base = _base_folder(path, entries[0][0])
    labels = tuple(sorted({label for _, label, _ in entries}))
    clips = tuple(
        Clip(base / name, 0, labels.index(label), f"fold {fold}" if columns.fold else name)
        for name, label, fold in entries
    )
    return labels, clips, base


def _entry(where: str, row: Row, columns: Columns) -> tuple[str, str, str]:
    """Return the file, class and fold of a row; the fold is "" without a column."""
    name, label, fold = row[columns.file], row[columns.label], row[columns.fold] if columns.fold else ""
    inside = name and "\0" not in name and not Path(name).is_absolute() and ".." not in Path(name).parts
    if not inside or not label or (columns.fold and not fold):
        raise DataError(
            f"{where} has {describe_row(row)}; a file name below the CSV file's folder, a class"
            f"{' and a fold' if columns.fold else ''} were expected. Correct the line, or remove it."
        )
    lengths = [len(os.fsencode(part)) for part in Path(name).parts]
    if max(lengths, default=0) > LONGEST_NAME_BYTES or len(os.fsencode(name)) > LONGEST_FILE_BYTES:
        raise DataError(
            f"{where} names the file {name[:40]}..., {len(os.fsencode(name))} bytes; at most "
            f"{LONGEST_NAME_BYTES} in each part and {LONGEST_FILE_BYTES} in all were expected. Correct the line, or "
            "remove it."
        )
    return name, class_label(label, f"{where}: the class"), fold


def _base_folder(path: Path, first: str) -> Path:
    """Return the folder that the file names are relative to.

    Raises:
        DataError: The first file is in none of them.
    """
    above = path.resolve().parent.parent
    folders = [path.parent, path.parent / "audio", above, above / "audio"]
    for folder in folders:
        if _is_file(path, folder / first):
            return folder
    raise DataError(
        f"{path} names {first} first, which is in none of {', '.join(map(str, folders))}. "
        + (
            "Write / instead of \\ in its names."
            if "\\" in first
            else "Put the CSV file beside the recordings, or into a folder beside them."
        )
    )


def _is_file(path: Path, recording: Path) -> bool:
    """Return True for a recording that is there.

    Raises:
        DataError: The system refuses to look.
    """
    try:
        return recording.is_file()
    except OSError as error:
        raise DataError(
            f"{path} names {recording}, which cannot be looked at: {error.strerror}. Correct the name or the folder's "
            "permissions."
        ) from error


def split_csv(
    path: Path, columns: Columns, spec: FeatureSpec | None, test_share: float, test_folds: tuple[int, ...] | None
) -> Split:
    """Split the recordings of a CSV file into training and test recordings.

    Args:
        path: The CSV file.
        columns: Names of its columns.
        spec: Front end, for the length of a window; None without training.
        test_share: Share of test clips per class, in whole folds, or files without folds.
        test_folds: Folds to test on, instead of a share.

    Raises:
        ConfigError: Folds are given and no column holds them, or one of them has no rows.
        DataError: The file is wrong, a recording's length cannot be read, or a class has too few recordings.
    """
    labels, listed, _ = list_csv(path, columns)
    refuse_listed_twice(listed)
    present = tuple(clip for clip in listed if _is_file(path, clip.path))
    held_out = _chosen_folds(present, columns, test_folds) if test_folds else hold_out(labels, present, test_share)
    clips = [count_windows(clip, spec) for clip in present] if spec else present
    return replace(
        split_by_recordings(clips, held_out, labels, path.stem),
        missing={0: len(listed) - len(present)} if len(listed) > len(present) else {},
        far_off=() if test_folds else far_off_shares(labels, present, held_out, test_share),
    )


def _chosen_folds(clips: tuple[Clip, ...], columns: Columns, folds: tuple[int, ...]) -> set[str]:
    """Return the recordings of the folds."""
    if columns.fold is None:
        raise ConfigError("Folds are named, and --columns has no column of them; add it: --columns FILE,CLASS,FOLD.")
    known = {clip.recording for clip in clips}
    chosen = {f"fold {fold}" for fold in folds}
    if lacking := sorted(chosen - known):
        raise ConfigError(f"{lacking[0]} has no recordings; there are {', '.join(sorted(known))}.")
    if chosen >= known:
        raise ConfigError("The folds to test on are all that are there; leave at least one to learn from.")
    return chosen
