"""What one epoch shows the network: batches of mel decibels, targets and, with a teacher, what it hears.

Conventions: mel decibels (N, C, M, T) masked and mixed, targets (N, K), heard (N, V, D) float32 or None.
Every draw comes from the generator that is passed in, or from torch's global one.
Does not: render views (`distillation/augmented_views.py`), or move weights (`fit/loop.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soundwatch.training.data.augment import augment_mel, mix
from soundwatch.training.data.batches import Reader, count_batches, training_batches
from soundwatch.training.data.urbansound8k import Clip
from soundwatch.training.distillation.teacher_targets import TeacherTargets
from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's examples.

    Attributes:
        mel_db: (N, C, M, T).
        targets: (N, K).
        heard: (N, V, D); None without a teacher.
        groups: (N, G); None where the recipe learns no groups.
    """

    mel_db: Tensor
    targets: Tensor
    heard: Tensor | None
    groups: Tensor | None = None


@dataclass(frozen=True, slots=True)
class ClipBatches:
    """Every clip once an epoch, augmented anew each time.

    Attributes:
        clips: To learn from.
        classes: Number of them.
        recipe: The experiment.
        read: Gives a clip's samples.
        device: That computes.
    """

    clips: Sequence[Clip]
    classes: int
    recipe: Recipe
    read: Reader
    device: torch.device

    def count(self) -> int:
        """Batches of an epoch."""
        return count_batches(self.clips, self.recipe)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch's batches."""
        front_end = MelFrontEnd(self.recipe.features).to(self.device)
        augmentation = self.recipe.augmentation
        for samples, targets in training_batches(self.clips, self.classes, self.recipe, self.read, rng):
            mel_db = augment_mel(front_end.features(samples.to(self.device)), augmentation)
            yield Batch(*mix(mel_db, targets.to(self.device), augmentation.mixup_alpha, rng), None)


@dataclass(frozen=True, slots=True)
class DistillationBatches:
    """As many lessons an epoch as there are clips, drawn from all views.

    Attributes:
        lessons: All views.
        soft: What the teacher's heads say of them (N, K).
        clips: Clips that they are views of.
        recipe: The experiment; it has a teacher.
        device: That computes.
    """

    lessons: TeacherTargets
    soft: NDArray[np.float32]
    clips: int
    recipe: Recipe
    device: torch.device

    def count(self) -> int:
        """Batches of an epoch."""
        return -(-self.clips // self.recipe.batch_clips)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch's batches."""
        order = rng.permutation(len(self.lessons.targets))[: self.clips]
        for start in range(0, len(order), self.recipe.batch_clips):
            yield self._batch(order[start : start + self.recipe.batch_clips])

    def _batch(self, rows: NDArray[np.int64]) -> Batch:
        teaching, smoothing = self.recipe.teaching, self.recipe.optimisation.label_smoothing_share
        assert teaching is not None
        hard = self.lessons.targets[rows] * (1 - smoothing) + smoothing / self.soft.shape[1]
        targets = (1 - teaching.soft_share) * hard + teaching.soft_share * self.soft[rows]
        mel_db = torch.from_numpy(self.lessons.mel_db[rows, None].astype(np.float32)).to(self.device)
        heard = torch.from_numpy(self.lessons.heard[rows].astype(np.float32)).to(self.device)
        groups = torch.from_numpy(self.lessons.groups[rows]).to(self.device) if self.recipe.street else None
        return Batch(
            augment_mel(mel_db.expand(-1, self.recipe.features.channels, -1, -1), self.recipe.augmentation),
            torch.from_numpy(targets.astype(np.float32)).to(self.device),
            heard,
            groups,
        )
