"""Batches of an epoch: mel decibels, targets and, with a teacher, the teacher's features.

Conventions: mel decibels (N, C, M, T) masked and mixed, targets (N, K), teacher features (N, V, D) float32 or None.
All random numbers come from the given generator, or from torch's global one.
Does not: render views (`distillation/augmented_views.py`), or update weights (`fit/epochs/loop.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.augment import augment_mel, mix
from soundwatch.training.data.windows.render import render_windows
from soundwatch.training.data.windows.waveforms import Waveforms
from soundwatch.training.data.windows.window_plan import count_batches, plan_epoch, targets_of
from soundwatch.training.distillation.hard_views import draw_views
from soundwatch.training.distillation.teacher_targets import TeacherTargets
from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of one step.

    Attributes:
        mel_db: Mel decibels (N, C, M, T).
        targets: Targets (N, K).
        teacher_features: Teacher features (N, V, D); None without a teacher.
        groups: Group targets (N, G); None if the recipe has no auxiliary groups.
    """

    mel_db: Tensor
    targets: Tensor
    teacher_features: Tensor | None
    groups: Tensor | None = None


@dataclass(frozen=True, slots=True)
class ClipBatches:
    """Batches with every clip once per epoch, with new augmentation each time.

    Attributes:
        clips: Training clips.
        classes: Number of classes.
        recipe: Recipe of the run.
        waveforms: Samples of the clips.
        device: Device of the batches.
    """

    clips: Sequence[Clip]
    classes: int
    recipe: Recipe
    waveforms: Waveforms
    device: torch.device

    def count(self) -> int:
        """Count the batches of an epoch."""
        return count_batches(self.clips, self.recipe)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        front_end = MelFrontEnd(self.recipe.features).to(self.device)
        augmentation = self.recipe.augmentation
        plans = plan_epoch(self.clips, self.waveforms.lengths, self.recipe, rng)
        for plan, (numbers, scales) in zip(plans, self.waveforms.segments(plans), strict=True):
            on_device = numbers.to(self.device, non_blocking=True), scales.to(self.device, non_blocking=True)
            mel_db = augment_mel(front_end.features(render_windows(on_device, plan, self.recipe)), augmentation)
            targets = targets_of(plan, self.clips, self.classes).to(self.device)
            yield Batch(*mix(mel_db, targets, augmentation.mixup_alpha, rng), None)


@dataclass(frozen=True, slots=True)
class DistillationBatches:
    """Batches for distillation: as many examples per epoch as there are clips, drawn from all views.

    Attributes:
        teacher_targets: Mel decibels and teacher features of all views.
        soft_labels: Soft labels of the views (N, K).
        clips: Number of original clips.
        recipe: Recipe of the run; it has a teacher.
        device: Device of the batches.
        weights: Weights of the views (N,) in each draw; None draws all alike.
    """

    teacher_targets: TeacherTargets
    soft_labels: NDArray[np.float32]
    clips: int
    recipe: Recipe
    device: torch.device
    weights: NDArray[np.float32] | None = None

    def count(self) -> int:
        """Count the batches of an epoch."""
        return -(-self.clips // self.recipe.batch_clips)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        if self.weights is None:
            order = rng.permutation(len(self.teacher_targets.targets))[: self.clips]
        else:
            order = draw_views(self.weights, self.clips, rng)
        for start in range(0, len(order), self.recipe.batch_clips):
            yield self._batch(order[start : start + self.recipe.batch_clips])

    def _batch(self, rows: NDArray[np.int64]) -> Batch:
        distillation, smoothing = self.recipe.teaching, self.recipe.optimisation.label_smoothing_share
        assert distillation is not None
        hard = self.teacher_targets.targets[rows] * (1 - smoothing) + smoothing / self.soft_labels.shape[1]
        targets = (1 - distillation.soft_share) * hard + distillation.soft_share * self.soft_labels[rows]
        mel_db = torch.from_numpy(self.teacher_targets.mel_db[rows, None].astype(np.float32)).to(self.device)
        teacher_features = torch.from_numpy(self.teacher_targets.teacher_features[rows].astype(np.float32)).to(
            self.device
        )
        groups = torch.from_numpy(self.teacher_targets.groups[rows]).to(self.device) if self.recipe.street else None
        return Batch(
            augment_mel(mel_db.expand(-1, self.recipe.features.channels, -1, -1), self.recipe.augmentation),
            torch.from_numpy(targets.astype(np.float32)).to(self.device),
            teacher_features,
            groups,
        )
