"""Random numbers of an epoch: which window of which clip stands in which batch, and how its sound is changed.

Conventions: all numbers are drawn here, at once, from the given generator, so they do not depend on what
reads or renders the windows, or in how many processes. Lengths and starts are in samples of the recipe's rate. A row of
-1 is synthetic.
Does not: read samples (`data/windows/waveforms.py`), or change them (`data/windows/render.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.model.recipe import Recipe

SYNTHETIC: Final = -1

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Windows of one batch.

    Attributes:
        rows: Index of each window's clip (N,), `SYNTHETIC` for noise, hum or silence.
        speeds_percent: Playback speed (N,).
        starts: First sample of the clip in the window (N,); negative for a clip that begins later.
        shifts: Circular shift (N,), in samples.
        gains_db: Change of level (N,).
        snr_db: Distance of colored noise below the window (N,); infinite for none.
    """

    rows: Integers
    speeds_percent: Integers
    starts: Integers
    shifts: Integers
    gains_db: Floats
    snr_db: Floats


def plan_epoch(clips: Sequence[Clip], lengths: Integers, recipe: Recipe, rng: np.random.Generator) -> list[WindowPlan]:
    """Draw one epoch: the windows of all clips and the recipe's synthetic ones, in random order.

    Args:
        clips: Training clips.
        lengths: Number of samples of each clip (M,).
        recipe: Recipe of the run.
        rng: Source of all numbers.
    """
    numbers, window = recipe.augmentation, recipe.features.window_samples
    rows = _rows(clips, recipe, rng)
    speeds = rng.choice(np.array(numbers.speeds_percent, np.int64), len(rows))
    played = -(-np.where(rows < 0, window, lengths[rows]) * 100 // speeds)
    spare = window - played
    places = (rng.random(len(rows)) * (np.abs(spare) + 1)).astype(np.int64)
    starts = np.where(spare >= 0, -places, places) * speeds // 100
    shifts = (rng.uniform(0, numbers.time_shift_share, len(rows)) * window).astype(np.int64)
    gains_db = rng.uniform(-numbers.gain_db, numbers.gain_db, len(rows)).astype(np.float32)
    snr_db = rng.uniform(*numbers.noise_snr_db, len(rows)).astype(np.float32)
    snr_db[rng.random(len(rows)) >= numbers.noise_probability] = np.inf
    batches = [slice(start, start + recipe.batch_clips) for start in range(0, len(rows), recipe.batch_clips)]
    return [
        WindowPlan(rows[part], speeds[part], starts[part], shifts[part], gains_db[part], snr_db[part])
        for part in batches
    ]


def _rows(clips: Sequence[Clip], recipe: Recipe, rng: np.random.Generator) -> Integers:
    """Return the clip of every window of an epoch, in random order."""
    windows = np.repeat(np.arange(len(clips)), [clip.windows for clip in clips])
    synthetic = np.full(round(recipe.augmentation.synthetic_negative_share * len(windows)), SYNTHETIC)
    if recipe.balance:
        windows = _balanced(windows, clips, rng)
    return rng.permutation(np.concatenate([windows, synthetic])).astype(np.int64)


def _balanced(windows: Integers, clips: Sequence[Clip], rng: np.random.Generator) -> Integers:
    """Draw as many labeled windows as there are, each class with equal probability; other sounds stay as they are."""
    class_ids = np.array([-1 if clip.class_id is None else clip.class_id for clip in clips], np.int64)[windows]
    labeled, of_labeled = windows[class_ids >= 0], class_ids[class_ids >= 0]
    weights = 1 / np.bincount(of_labeled)[of_labeled]
    drawn = rng.choice(labeled, len(labeled), p=weights / weights.sum())
    return np.concatenate([drawn, windows[class_ids < 0]])


def count_batches(clips: Sequence[Clip], recipe: Recipe) -> int:
    """Count the batches of `plan_epoch`."""
    windows = sum(clip.windows for clip in clips)
    examples = windows + round(recipe.augmentation.synthetic_negative_share * windows)
    return -(-examples // recipe.batch_clips)


def targets_of(plan: WindowPlan, clips: Sequence[Clip], classes: int) -> Tensor:
    """Build targets (N, K): one at a clip's class, zeros for a negative."""
    targets = torch.zeros(len(plan.rows), classes)
    for place, row in enumerate(plan.rows.tolist()):
        class_id = None if row == SYNTHETIC else clips[row].class_id
        if class_id is not None:
            targets[place, class_id] = 1.0
    return targets


def longest_read(recipe: Recipe) -> int:
    """Return the number of samples that a window at the fastest speed is made from."""
    return -(-recipe.features.window_samples * max(recipe.augmentation.speeds_percent) // 100)
