"""Augmentation of training clips, and placement of a clip in one window.

Conventions: samples are (C, S) float32 numpy before batching, then torch (N, C, S); mel decibels are
(N, C, M, T). All random numbers come from the given generator, or from torch's global one, which
the loop seeds for each epoch.
Source: SpecAugment (Park et al. 2019) through torchaudio's maskings; mixup (Zhang et al. 2018).
Does not: change test clips: they get `place_first`, as in the daemon.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from soundwatch.daemon.core.types import Samples
from soundwatch.training.data.negatives import coloured_noise
from soundwatch.training.model.recipe import Augmentation
from soundwatch.training.model.torchaudio_transforms import FrequencyMasking, Resample, TimeMasking


def place_randomly(samples: Samples, window_samples: int, rng: np.random.Generator) -> Samples:
    """Return a window with a short clip at a random position, or a random segment of a long clip."""
    spare = window_samples - samples.shape[1]
    if spare < 0:
        start = rng.integers(0, -spare + 1)
        return samples[:, start : start + window_samples]
    before = int(rng.integers(0, spare + 1))
    return np.pad(samples, ((0, 0), (before, spare - before)))


def augment_samples(samples: Samples, window_samples: int, recipe: Augmentation, rng: np.random.Generator) -> Samples:
    """Augment one clip (C, S) to a window (C, window_samples)."""
    if len(recipe.speeds_percent) > 1:
        samples = play_at(samples, int(rng.choice(recipe.speeds_percent)))
    window = place_randomly(samples, window_samples, rng)
    if recipe.time_shift_share:
        window = np.roll(window, int(rng.uniform(0, recipe.time_shift_share) * window_samples), axis=1)
    if recipe.gain_db:
        window = window * np.float32(10 ** (rng.uniform(-recipe.gain_db, recipe.gain_db) / 20))
    if rng.random() < recipe.noise_probability:
        snr_db = rng.uniform(*recipe.noise_snr_db)
        level = np.sqrt(np.mean(np.square(window))) * 10 ** (-snr_db / 20)
        window = window + np.float32(level) * coloured_noise(rng, window_samples)
    return window


def play_at(samples: Samples, speed_percent: int) -> Samples:
    """Change the speed of the clip, and its pitch."""
    if speed_percent == 100:
        return samples
    faster: Samples = _resampler(speed_percent)(torch.from_numpy(samples)).numpy()
    return faster


@lru_cache(maxsize=32)
def _resampler(speed_percent: int) -> Resample:
    return Resample(orig_freq=speed_percent, new_freq=100)


def augment_mel(mel_db: Tensor, recipe: Augmentation) -> Tensor:
    """Apply a random equalizer, then mask ranges of bands and frames with the example's mean."""
    if recipe.band_jitter_db:
        mel_db = mel_db + _equalizer_db(mel_db, recipe.band_jitter_db)
    mean_db = mel_db.mean(dim=(1, 2, 3), keepdim=True)
    bands = FrequencyMasking(int(recipe.frequency_mask_share * mel_db.shape[2]))
    frames = TimeMasking(int(recipe.time_mask_share * mel_db.shape[3]))
    masks = [bands] * recipe.frequency_masks + [frames] * recipe.time_masks
    return torch.stack([_masked(example, masks) for example in mel_db - mean_db]) + mean_db


def _masked(example: Tensor, masks: list[FrequencyMasking | TimeMasking]) -> Tensor:
    """Apply all masks to one example (C, M, T) with mean 0, equally for all channels."""
    for mask in masks:
        example = mask(example)
    return example


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
