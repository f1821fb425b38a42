"""Clips of ten tones in UrbanSound8K's own layout."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from soundwatch.training.model.labels import LABELS
from support.wav_files import wav_bytes


@cache
def _tone_file(class_id: int) -> bytes:
    tone = 0.3 * np.sin(2 * np.pi * (200 + 300 * class_id) * np.arange(2000 + 200 * class_id) / 8000)
    return wav_bytes(np.stack([tone, 0.5 * tone], axis=1) if class_id == 1 else tone, 8000)


def write_data(root: Path, folds: tuple[int, ...]) -> None:
    """Write a clip of each class a fold, the tone of its class."""
    rows = []
    for fold in folds:
        folder = root / "audio" / f"fold{fold}"
        folder.mkdir(parents=True)
        for class_id, label in enumerate(LABELS):
            name = f"{fold}{class_id:02d}-{class_id}-0-0.wav"
            (folder / name).write_bytes(_tone_file(class_id))
            rows.append([name, 1, 0.0, 0.5, 1, fold, class_id, label])
    write_metadata(root, rows)


def write_metadata(root: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write the table of the clips: name, recording, start and end in seconds, salience, fold, class and its name."""
    metadata = root / "metadata" / "UrbanSound8K.csv"
    metadata.parent.mkdir(parents=True)
    with metadata.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"])
        writer.writerows(rows)
