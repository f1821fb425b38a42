"""Labels of Audacity and selection tables of Raven.

Conventions: Audacity's labels are a folder with one file for each recording. A label file ends in `.txt`, and its first
line begins with two times. Only a folder of labels is replaced.
Source: the manuals of Audacity and Raven Pro; the columns of Raven in the order of BirdNET-Analyzer, whose
`Begin Time (s)` counts through all recordings that are opened together.
Does not: replace files (`tables/writers.py`).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.tables.event_rows import EventRow, Stream, event_rows


def write_raven(lines: Iterable[bytes], path: Path) -> None:
    """Write a selection table of Raven.

    Raises:
        ConfigError: The start of a stream is unknown.
    """
    headings = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Class", "Score")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, escapechar="\\")
        writer.writerow((*headings, "Begin Path", "File Offset (s)"))
        for number, (row, stream) in enumerate(event_rows(lines), 1):
            onset_s, offset_s = _on_a_recording(row)
            times = (f"{stream.before_s + onset_s:.3f}", f"{stream.before_s + offset_s:.3f}")
            where = (row.file or row.source, f"{onset_s:.3f}")
            writer.writerow((number, "Spectrogram 1", 1, *times, row.class_, f"{row.peak_score:.4f}", *where))


def write_audacity(lines: Iterable[bytes], path: Path) -> None:
    """Write a folder of labels of Audacity, one file for each recording.

    Raises:
        ConfigError: The start of a stream is unknown.
    """
    path.mkdir()
    names: dict[Stream, Path] = {}
    for row, stream in event_rows(lines):
        if stream not in names:
            names[stream] = _free(path, row)
        onset_s, offset_s = _on_a_recording(row)
        with names[stream].open("a", encoding="utf-8", newline="\n") as file:
            file.write(f"{onset_s:.6f}\t{offset_s:.6f}\t{row.class_} {row.peak_score:.2f}\n")


def _free(folder: Path, row: EventRow) -> Path:
    """Return an unused label file: at the relative path of the recording, or named after the microphone."""
    recording = Path(row.file or "")
    if not recording.stem or recording.stem not in row.source:
        recording = Path(row.source.replace(os.sep, "_"))
    inside = [part for part in recording.parts if part not in (recording.anchor, os.pardir)]
    path, number = folder.joinpath(*inside[:-1], f"{inside[-1]}.txt"), 1
    path.parent.mkdir(parents=True, exist_ok=True)
    while path.exists():
        number += 1
        path = path.with_name(f"{inside[-1]}-{number}.txt")
    return path


def _on_a_recording(row: EventRow) -> tuple[float, float]:
    """Return onset and offset of an event in seconds; an event without an end ends at its onset.

    Raises:
        ConfigError: The start of its stream is unknown.
    """
    if row.onset_s is None:
        raise ConfigError(
            f"The lines have no hello of {row.source} before its event of {row.onset}, so its position in the "
            "recording is unknown. Include the start of the stream, or choose csv, parquet or jsonl."
        )
    return row.onset_s, row.onset_s if row.offset_s is None else row.offset_s


def check_replaceable(folder: Path) -> None:
    """Check that a folder holds only label files.

    Raises:
        ConfigError: The folder holds another file.
    """
    for file in folder.rglob("*"):
        if not file.is_dir() and not _holds_labels(file):
            raise ConfigError(
                f"{folder} exists, and {file} is not a label file; labels replace only a folder of label "
                "files. Give a new folder."
            )


def _holds_labels(file: Path) -> bool:
    if file.suffix != ".txt":
        return False
    with file.open(encoding="utf-8", errors="replace") as opened:
        times = opened.readline().split("\t")[:2]
    try:
        return len([float(time) for time in times]) == 2
    except ValueError:
        return False
