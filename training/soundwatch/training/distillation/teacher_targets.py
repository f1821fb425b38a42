"""Lessons: views with what the teacher hears in them, computed once and kept on disk.

Conventions: `mel_db` (N, M, T), `encode_block` (N, W, D), both float16, and targets (N, K) float32, all in the
order of the views. One `.npz` a view lies in `soundwatch/lessons` under the cache's folder, named by all
that it is made of. 8 views of 2,400 clips take 0.9 GB there, and about 20 ms each to make.
Does not: evict; delete the folder to free its space.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.atomic_file import replace_file
from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.types import Samples
from soundwatch.training.data.cache import cache_folder
from soundwatch.training.data.urbansound8k import Clip
from soundwatch.training.distillation.augmented_views import View, render_view, target_of
from soundwatch.training.distillation.teacher import Heard, Teacher
from soundwatch.training.model.frontend import MelFrontEnd

_LAYOUT = "2"


@dataclass(frozen=True, slots=True)
class TeacherTargets:
    """All views of a run, as arrays.

    Attributes:
        mel_db: What the student is shown (N, M, T).
        heard: What the teacher hears (N, W, D).
        targets: Shares of the classes (N, K).
    """

    mel_db: NDArray[np.float16]
    heard: Heard
    targets: NDArray[np.float32]


def teacher_targets_folder() -> Path:
    """Where lessons are kept, beside the decoded clips."""
    return cache_folder().with_name("lessons")


def cache_teacher_targets(
    views: Sequence[View],
    classes: int,
    spec: FeatureSpec,
    teacher: Teacher,
    read: Callable[[Clip], Samples],
    console: Console,
) -> TeacherTargets:
    """Render and hear all views that are not on disk yet, with a progress bar.

    Raises:
        DataError: The folder cannot be written.
    """
    folder, front_end = teacher_targets_folder(), MelFrontEnd(spec)
    pairs = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for view in track(views, description="Preparing lessons", console=console, disable=not console.is_terminal):
            file = folder / f"{_key(view, spec, teacher)}.npz"
            pairs.append(_stored(file) or _prepare(view, spec, teacher, read, front_end, file))
    except OSError as error:
        raise DataError(
            f"Lessons cannot be written to {folder}: {error}. About {len(views) // 25} MB were wanted; make room, or "
            "name another folder in XDG_CACHE_HOME."
        ) from error
    targets = np.stack([target_of(view, classes) for view in views])
    return TeacherTargets(np.stack([mel for mel, _ in pairs]), np.stack([heard for _, heard in pairs]), targets)


def _prepare(
    view: View,
    spec: FeatureSpec,
    teacher: Teacher,
    read: Callable[[Clip], Samples],
    front_end: MelFrontEnd,
    file: Path,
) -> tuple[NDArray[np.float16], Heard]:
    """Mel decibels and teacher's features of one view, left on disk."""
    samples = render_view(view, read, spec.window_samples, spec.rate_hz)
    mel_db = front_end.features(torch.from_numpy(samples[None]))[0, 0].numpy().astype(np.float16)
    heard = teacher.hear(samples, spec.rate_hz)

    def write(part: Path) -> None:
        with part.open("wb") as stream:
            np.savez(stream, mel_db=mel_db, heard=heard)

    replace_file(file, write)
    return mel_db, heard


def _stored(file: Path) -> tuple[NDArray[np.float16], Heard] | None:
    """What is on disk; None where it is not, or was cut short."""
    try:
        with np.load(file) as arrays:
            return arrays["mel_db"], arrays["heard"]
    except (FileNotFoundError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _key(view: View, spec: FeatureSpec, teacher: Teacher) -> str:
    """Name of a lesson: changes when the sound, the front end or the teacher would."""
    paths = [str(clip.path.resolve()) for clip in (view.clip, view.partner) if clip]
    decibels = msgspec.structs.replace(spec, normalisation="none")  # the network's own first layer does that
    identity = (_LAYOUT, view.key, paths, msgspec.json.encode(decibels), teacher.sha256)
    return hashlib.sha256(repr(identity).encode()).hexdigest()
