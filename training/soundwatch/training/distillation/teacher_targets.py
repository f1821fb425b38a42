"""Disk cache of views and street mixes with the teacher's features.

Conventions: `mel_db` (N, M, T), `teacher_features` (N, W, D), both float16, and targets (N, K) and groups (N, G)
float32, all in the order of the views. One `.npz` per view is in `soundwatch/lessons` under the cache's folder, named
by a hash of all inputs; its array `heard` has the features. 25,000 views take 1.1 GB there, and about 20 ms each to
compute. Above the limit of the clips' cache, files with the oldest use are removed; those of the run are kept.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.files.atomic_file import replace_file
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.cache import LIMIT_MB, cache_folder, evict
from soundwatch.training.distillation.augmented_views import View, render_view, target_of
from soundwatch.training.distillation.sound_groups import GROUPS, group_scores
from soundwatch.training.distillation.street_mixes import StreetMix, mix_groups, mix_target, render_mix
from soundwatch.training.distillation.teacher import Teacher, TeacherFeatures
from soundwatch.training.model.frontend import MelFrontEnd

NO_GROUPS: Final = np.zeros(len(GROUPS), np.float32)
_LAYOUT: Final = "3"

_Stored = tuple[NDArray[np.float16], TeacherFeatures, NDArray[np.float16]]


@dataclass(frozen=True, slots=True)
class TeacherTargets:
    """Arrays of all views of a run.

    Attributes:
        mel_db: Mel decibels of the student (N, M, T).
        teacher_features: Teacher features (N, W, D).
        targets: Audibility of each class (N, K); NaN if unknown.
        groups: Audibility of each group of everyday sounds (N, G), from the teacher's scores and the clips' kinds.
    """

    mel_db: NDArray[np.float16]
    teacher_features: TeacherFeatures
    targets: NDArray[np.float32]
    groups: NDArray[np.float32]


def teacher_targets_folder() -> Path:
    """Return the cache folder, next to that of the decoded clips."""
    return cache_folder().with_name("lessons")


def cache_teacher_targets(
    views: Sequence[View | StreetMix],
    classes: int,
    spec: FeatureSpec,
    teacher: Teacher,
    read: Callable[[Clip], Samples],
    console: Console,
) -> TeacherTargets:
    """Render all views that are not cached, and compute their teacher features, with a progress bar.

    Raises:
        DataError: The folder cannot be written.
    """
    folder, front_end = teacher_targets_folder(), MelFrontEnd(spec)
    stored, used = list[_Stored](), set[Path]()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for view in track(
            views, description="Computing teacher targets", console=console, disable=not console.is_terminal
        ):
            file = folder / f"{_key(view, spec, teacher)}.npz"
            stored.append(_read_stored(file) or _prepare(view, spec, teacher, read, front_end, file))
            used.add(file)
        for file in used:
            os.utime(file)
        evict(folder, used, LIMIT_MB)
    except OSError as error:
        raise DataError(
            f"Teacher targets cannot be written to {folder}: {error}. They need about {len(views) // 25} MB; free disk "
            "space, or name another folder in XDG_CACHE_HOME."
        ) from error
    mel_db, teacher_features, scores = (np.stack(arrays) for arrays in zip(*stored, strict=True))
    targets = np.stack([_target(view, classes) for view in views])
    named = np.stack([mix_groups(view) if isinstance(view, StreetMix) else NO_GROUPS for view in views])
    return TeacherTargets(mel_db, teacher_features, targets, np.maximum(named, group_scores(scores)))


def _target(view: View | StreetMix, classes: int) -> NDArray[np.float32]:
    return mix_target(view, classes) if isinstance(view, StreetMix) else target_of(view, classes)


def _prepare(
    view: View | StreetMix,
    spec: FeatureSpec,
    teacher: Teacher,
    read: Callable[[Clip], Samples],
    front_end: MelFrontEnd,
    file: Path,
) -> _Stored:
    """Compute mel decibels, teacher features and scores of one view, and store them."""
    render = render_mix if isinstance(view, StreetMix) else render_view
    samples = render(view, read, spec.window_samples, spec.rate_hz)  # type: ignore[arg-type]  # one of the two
    mel_db = front_end.features(torch.from_numpy(samples[None]))[0, 0].numpy().astype(np.float16)
    outputs = teacher.outputs(samples, spec.rate_hz)

    def write(part: Path) -> None:
        with part.open("wb") as stream:
            np.savez(stream, mel_db=mel_db, heard=outputs.features, scores=outputs.scores)

    replace_file(file, write)
    return mel_db, outputs.features, outputs.scores


def _read_stored(file: Path) -> _Stored | None:
    """Read the stored arrays; None if the file is missing or truncated."""
    try:
        with file.open("rb") as stream, np.load(stream) as arrays:
            return arrays["mel_db"], arrays["heard"], arrays["scores"]
    except (FileNotFoundError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _key(view: View | StreetMix, spec: FeatureSpec, teacher: Teacher) -> str:
    """Return the cache key of a view, which changes with the sound, the front end and the teacher."""
    paths = [str(clip.path.resolve()) for clip in view.clips]
    decibels = msgspec.structs.replace(spec, normalisation="none")  # the network's first layer normalizes
    identity = (_LAYOUT, view.key, paths, msgspec.json.encode(decibels), teacher.sha256)
    return hashlib.sha256(repr(identity).encode()).hexdigest()
