"""Clips as batches of windows and targets.

Conventions: samples (N, C, S) float32 tensors, targets (N, K): one at a clip's class, zeros for a
sound that is none of them. A batch is as wide as its widest clip; mono ones are repeated to fit.
Of a long recording training takes stretches, a new one each time; scoring takes the windows that the
daemon would, every hop that lies within it.
Does not: decode (`data/cache.py`) or touch mel decibels (`data/augment.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.types import Samples
from soundwatch.training.data.augment import augment_samples
from soundwatch.training.data.negatives import synthetic_negative
from soundwatch.training.data.place import place_first
from soundwatch.training.data.urbansound8k import Clip
from soundwatch.training.model.recipe import Recipe

Reader = Callable[[Clip], Samples]
Scored = tuple[Tensor, Tensor, NDArray[np.int64]]


def training_batches(
    clips: Sequence[Clip], classes: int, recipe: Recipe, read: Reader, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch: every clip's windows and the recipe's synthetic negatives, augmented, in random order."""
    spec, augmentation = recipe.features, recipe.augmentation
    windows = [clip for clip in clips for _ in range(clip.windows)]
    synthetic = round(augmentation.synthetic_negative_share * len(windows))
    everything: list[Clip | None] = [*windows, *[None] * synthetic]
    order = rng.permutation(len(everything))
    for start in range(0, len(order), recipe.batch_clips):
        batch = [everything[index] for index in order[start : start + recipe.batch_clips]]
        examples = [
            synthetic_negative(rng, spec.rate_hz, spec.window_samples)
            if clip is None
            else augment_samples(_stretch(clip, read, spec, rng), spec.window_samples, augmentation, rng)
            for clip in batch
        ]
        yield _stack(examples), _targets(batch, classes)


def _stretch(clip: Clip, read: Reader, spec: FeatureSpec, rng: np.random.Generator) -> Samples:
    """The clip, or of one that has several windows two windows' length, so that no hour is played faster for one."""
    samples = read(clip)
    if clip.windows == 1:
        return samples
    start = int(rng.integers(0, max(1, samples.shape[1] - 2 * spec.window_samples + 1)))
    return samples[:, start : start + 2 * spec.window_samples].copy()  # out of a file that is mapped, read-only


def count_batches(clips: Sequence[Clip], recipe: Recipe) -> int:
    """Batches that `training_batches` gives in an epoch."""
    windows = sum(clip.windows for clip in clips)
    examples = windows + round(recipe.augmentation.synthetic_negative_share * windows)
    return -(-examples // recipe.batch_clips)


def scoring_batches(clips: Sequence[Clip], classes: int, recipe: Recipe, read: Reader) -> Iterator[Scored]:
    """Every clip's windows as they are, in order: samples, targets, and the place (N,) of each window's clip."""
    windows = (
        (samples, place) for place, clip in enumerate(clips) for samples in daemon_windows(read(clip), recipe.features)
    )
    while batch := list(islice(windows, recipe.batch_clips)):
        places = [place for _, place in batch]
        targets = _targets([clips[place] for place in places], classes)
        yield _stack([samples for samples, _ in batch]), targets, np.array(places, np.int64)


def daemon_windows(samples: Samples, spec: FeatureSpec) -> list[Samples]:
    """The windows (C, W) of a recording (C, S) that the daemon's score of it is the mean of."""
    starts = range(0, samples.shape[1] - spec.window_samples + 1, spec.window_hop_samples)
    if not starts:
        return [place_first(samples, spec.window_samples)]
    return [samples[:, start : start + spec.window_samples] for start in starts]


def _stack(windows: Sequence[Samples]) -> Tensor:
    """Windows (C or 1, S) as one tensor (N, C, S)."""
    channels = max(window.shape[0] for window in windows)
    wide = [np.broadcast_to(window, (channels, window.shape[1])) for window in windows]
    return torch.from_numpy(np.stack(wide).astype(np.float32, copy=False))


def _targets(clips: Sequence[Clip | None], classes: int) -> Tensor:
    """Targets (N, K)."""
    targets = torch.zeros(len(clips), classes)
    for row, clip in enumerate(clips):
        if clip is not None and clip.class_id is not None:
            targets[row, clip.class_id] = 1.0
    return targets
