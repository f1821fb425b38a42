"""Augmentation of mel decibels, and speed and place of the clips in the views of distillation.

Conventions: samples are (C, S) float32 numpy; mel decibels are (N, C, M, T) tensors. All random numbers come from the
given generator, or from torch's global one, which the loop seeds for each epoch.
Source: SpecAugment (Park et al. 2019), with the draws of torchaudio's maskings; mixup (Zhang et al. 2018).
Does not: change samples of a batch (`data/windows/render.py`), or test clips: they get `place_first`, as in the daemon.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.model.recipe import Augmentation
from soundwatch.training.model.torchaudio_transforms import Resample


def place_randomly(samples: Samples, window_samples: int, rng: np.random.Generator) -> Samples:
    """Return a window with a short clip at a random position, or a random segment of a long clip."""
    spare = window_samples - samples.shape[1]
    if spare < 0:
        start = rng.integers(0, -spare + 1)
        return samples[:, start : start + window_samples]
    before = int(rng.integers(0, spare + 1))
    return np.pad(samples, ((0, 0), (before, spare - before)))


def play_at(samples: Samples, speed_percent: int) -> Samples:
    """Change the speed of the clip, and its pitch."""
    if speed_percent == 100:
        return samples
    faster: Samples = resampler(speed_percent)(torch.from_numpy(samples)).numpy()
    return faster


@lru_cache(maxsize=32)
def resampler(speed_percent: int) -> Resample:
    """Return the filter that plays at a speed."""
    return Resample(orig_freq=speed_percent, new_freq=100)


def augment_mel(mel_db: Tensor, recipe: Augmentation) -> Tensor:
    """Apply a random equalizer, then mask ranges of bands and frames with the example's mean."""
    if recipe.band_jitter_db:
        mel_db = mel_db + _equalizer_db(mel_db, recipe.band_jitter_db)
    mean_db = mel_db.mean(dim=(1, 2, 3), keepdim=True)
    return (mel_db - mean_db).masked_fill(_draw_masks(mel_db, recipe), 0.0) + mean_db


def _draw_masks(mel_db: Tensor, recipe: Augmentation) -> Tensor:
    """Draw the masked ranges of a batch (N, C, M, T): True where masked, a shape that broadcasts to the batch's.

    The numbers are drawn in the order of torchaudio's maskings of one example after another, so both mask alike. They
    are drawn on the CPU, so that a seed masks alike on every device.
    """
    examples, _, bands, frames = mel_db.shape
    masks = [((1, bands, 1), recipe.frequency_mask_share)] * recipe.frequency_masks
    masks += [((1, 1, frames), recipe.time_mask_share)] * recipe.time_masks
    # The widest mask is a share of the axis, rounded down; torchaudio draws nothing where that is 0.
    drawn = [(shape, int(share * max(shape))) for shape, share in masks if share * max(shape) >= 1]
    numbers = torch.rand(examples, len(drawn), 2)
    masked = torch.zeros(examples, 1, 1, 1, dtype=torch.bool)
    for place, (shape, widest) in enumerate(drawn):
        width, size = numbers[:, place, 0] * widest, max(shape)
        start = (numbers[:, place, 1] * (size - width)).long()[:, None]
        index = torch.arange(size)
        inside = (index >= start) & (index < start + width.long()[:, None])  # (N, size)
        masked = masked | inside.reshape(examples, *shape)
    return masked.to(mel_db.device)


def _equalizer_db(mel_db: Tensor, deviation_db: float) -> Tensor:
    """Draw a smooth random gain per band (N, 1, M, 1): eight random points with linear interpolation."""
    knots = deviation_db * torch.randn(mel_db.shape[0], 1, 8, device=mel_db.device)
    return torch.nn.functional.interpolate(knots, mel_db.shape[2], mode="linear", align_corners=True)[..., None]


def mix(mel_db: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mix each example and its targets (N, K) with another of the batch (mixup)."""
    if not alpha:
        return mel_db, targets
    share = torch.from_numpy(rng.beta(alpha, alpha, len(mel_db)).astype(np.float32)).to(mel_db.device)  # (N,)
    partner = torch.from_numpy(rng.permutation(len(mel_db))).to(mel_db.device)
    wide = share[:, None, None, None]
    mixed_targets = share[:, None] * targets + (1 - share[:, None]) * targets[partner]
    return wide * mel_db + (1 - wide) * mel_db[partner], mixed_targets
