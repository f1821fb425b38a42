"""Batches of windows and targets from clips.

Conventions: samples (N, C, S) float32 tensors, targets (N, K): one at a clip's class, zeros for a
negative. A batch has the largest channel count of its clips; mono clips are repeated to fit.
Training takes random segments of a long recording; scoring takes the windows of the
daemon, every hop within the recording.
Does not: decode (`data/cache.py`) or change mel decibels (`data/augment.py`).
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
    """Yield one epoch: the windows of all clips and the recipe's synthetic negatives, augmented, in random order."""
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
    """Return the clip, or a segment of two windows of a longer clip, so a speed change does not process an hour."""
    samples = read(clip)
    if clip.windows == 1:
        return samples
    start = int(rng.integers(0, max(1, samples.shape[1] - 2 * spec.window_samples + 1)))
    return samples[:, start : start + 2 * spec.window_samples].copy()  # the file is memory-mapped, read-only


def count_batches(clips: Sequence[Clip], recipe: Recipe) -> int:
    """Count the batches of `training_batches` in an epoch."""
    windows = sum(clip.windows for clip in clips)
    examples = windows + round(recipe.augmentation.synthetic_negative_share * windows)
    return -(-examples // recipe.batch_clips)


def scoring_batches(clips: Sequence[Clip], classes: int, recipe: Recipe, read: Reader) -> Iterator[Scored]:
    """Yield the unchanged windows of all clips in order: samples, targets, and the index (N,) of each window's clip."""
    windows = (
        (samples, place) for place, clip in enumerate(clips) for samples in daemon_windows(read(clip), recipe.features)
    )
    while batch := list(islice(windows, recipe.batch_clips)):
        places = [place for _, place in batch]
        targets = _targets([clips[place] for place in places], classes)
        yield _stack([samples for samples, _ in batch]), targets, np.array(places, np.int64)


def daemon_windows(samples: Samples, spec: FeatureSpec) -> list[Samples]:
    """Return the windows (C, W) of a recording (C, S) whose mean score is the daemon's score."""
    starts = range(0, samples.shape[1] - spec.window_samples + 1, spec.window_hop_samples)
    if not starts:
        return [place_first(samples, spec.window_samples)]
    return [samples[:, start : start + spec.window_samples] for start in starts]


def _stack(windows: Sequence[Samples]) -> Tensor:
    """Stack windows (C or 1, S) to one tensor (N, C, S)."""
    channels = max(window.shape[0] for window in windows)
    wide = [np.broadcast_to(window, (channels, window.shape[1])) for window in windows]
    return torch.from_numpy(np.stack(wide).astype(np.float32, copy=False))


def _targets(clips: Sequence[Clip | None], classes: int) -> Tensor:
    """Build targets (N, K)."""
    targets = torch.zeros(len(clips), classes)
    for row, clip in enumerate(clips):
        if clip is not None and clip.class_id is not None:
            targets[row, clip.class_id] = 1.0
    return targets
