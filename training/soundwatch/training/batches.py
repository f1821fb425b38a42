"""Clips as batches of windows and targets.

Conventions: samples (N, C, S) float32 tensors, targets (N, K): one at a clip's class, zeros for a
sound that is none of them. A batch is as wide as its widest clip; mono ones are repeated to fit.
Does not: decode (`cache.py`) or touch mel decibels (`augment.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from soundwatch.daemon.types import Samples
from soundwatch.training.augment import augment_samples, place_first
from soundwatch.training.data import Clip
from soundwatch.training.labels import LABELS
from soundwatch.training.negatives import synthetic_negative
from soundwatch.training.recipe import Recipe

Reader = Callable[[Clip], Samples]


def training_batches(
    clips: Sequence[Clip], recipe: Recipe, read: Reader, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch: every clip once and the recipe's synthetic negatives, augmented, in random order."""
    spec, augmentation = recipe.features, recipe.augmentation
    synthetic = round(augmentation.synthetic_negative_share * len(clips))
    everything: list[Clip | None] = [*clips, *[None] * synthetic]
    order = rng.permutation(len(everything))
    for start in range(0, len(order), recipe.batch_clips):
        batch = [everything[index] for index in order[start : start + recipe.batch_clips]]
        windows = [
            synthetic_negative(rng, spec.rate_hz, spec.window_samples)
            if clip is None
            else augment_samples(read(clip), spec.window_samples, augmentation, rng)
            for clip in batch
        ]
        yield _stack(windows), _targets(batch)


def count_batches(clips: Sequence[Clip], recipe: Recipe) -> int:
    """Batches that `training_batches` gives in an epoch."""
    examples = len(clips) + round(recipe.augmentation.synthetic_negative_share * len(clips))
    return -(-examples // recipe.batch_clips)


def scoring_batches(clips: Sequence[Clip], recipe: Recipe, read: Reader) -> Iterator[tuple[Tensor, Tensor]]:
    """Every clip's first window as it is, in order."""
    for start in range(0, len(clips), recipe.batch_clips):
        batch = clips[start : start + recipe.batch_clips]
        yield _stack([place_first(read(clip), recipe.features.window_samples) for clip in batch]), _targets(batch)


def _stack(windows: Sequence[Samples]) -> Tensor:
    """Windows (C or 1, S) as one tensor (N, C, S)."""
    channels = max(window.shape[0] for window in windows)
    wide = [np.broadcast_to(window, (channels, window.shape[1])) for window in windows]
    return torch.from_numpy(np.stack(wide).astype(np.float32, copy=False))


def _targets(clips: Sequence[Clip | None]) -> Tensor:
    """Targets (N, K)."""
    targets = torch.zeros(len(clips), len(LABELS))
    for row, clip in enumerate(clips):
        if clip is not None and clip.class_id is not None:
            targets[row, clip.class_id] = 1.0
    return targets
