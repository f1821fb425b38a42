"""Augmentation of a whole batch of windows as tensor code, on the device of the samples.

Conventions: segments (N, C, L) int16 become samples (N, C, W) float32. Speed, place, shift, gain and noise level come
from the `WindowPlan`; noise and synthetic sounds are drawn from torch's global generator, which the loop seeds for each
epoch. Numbers that decide on shapes are drawn on the CPU, so nothing waits for the device.
Does not: change mel decibels (`data/windows/augment.py`), or render the views of distillation, which are numpy and
cached.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor

from soundwatch.training.data.windows.augment import resampler
from soundwatch.training.data.windows.waveforms import Segments
from soundwatch.training.data.windows.window_plan import SYNTHETIC, WindowPlan
from soundwatch.training.model.recipe import Recipe

HARMONICS: Final = 8


def render_windows(segments: Segments, plan: WindowPlan, recipe: Recipe) -> Tensor:
    """Render the windows (N, C, W) of a batch."""
    numbers, scales = segments
    window = recipe.features.window_samples
    samples = _at_speeds(numbers * scales[:, None, None], plan, window)
    if plan.shifts.any():
        samples = _roll(samples, torch.from_numpy(plan.shifts).to(samples.device))
    if plan.gains_db.any():
        gains = torch.from_numpy(10 ** (plan.gains_db / 20)).to(samples.device)
        samples.mul_(gains[:, None, None])
    samples = _add_noise(samples, plan)
    synthetic = np.flatnonzero(plan.rows == SYNTHETIC)
    if len(synthetic):
        made = synthetic_sounds(len(synthetic), recipe.features.rate_hz, window, samples.device)
        samples.index_copy_(0, _index(synthetic, samples), made.expand(-1, samples.shape[1], -1))
    return samples


def _at_speeds(samples: Tensor, plan: WindowPlan, window: int) -> Tensor:
    """Play (N, C, L) at the speeds of the plan; L is long enough for the fastest."""
    normal = samples[..., :window]
    for speed_percent in np.unique(plan.speeds_percent).tolist():
        if speed_percent == 100:
            continue
        index = _index(np.flatnonzero(plan.speeds_percent == speed_percent), samples)
        length = -(-window * speed_percent // 100)
        played = resampler(speed_percent).to(samples.device)(samples[index, :, :length])[..., :window]
        normal.index_copy_(0, index, played)  # no other row reads these
    return normal


def _roll(samples: Tensor, shifts: Tensor) -> Tensor:
    """Shift each example (C, W) of a batch circularly by its number of samples."""
    size = samples.shape[-1]
    place = (torch.arange(size, device=samples.device) - shifts[:, None]) % size  # (N, W)
    return samples.gather(2, place[:, None].expand_as(samples))


def _add_noise(samples: Tensor, plan: WindowPlan) -> Tensor:
    """Add colored noise to the examples with a finite distance of it."""
    noisy = np.flatnonzero(np.isfinite(plan.snr_db) & (plan.rows != SYNTHETIC))
    if not len(noisy):
        return samples
    index = _index(noisy, samples)
    below = torch.from_numpy(10 ** (-plan.snr_db[noisy] / 20)).to(samples.device)
    levels = samples[index].square().mean(dim=(1, 2)).sqrt() * below
    noise = levels[:, None, None] * colored_noise(len(noisy), samples.shape[-1], samples.device)
    return samples.index_add_(0, index, noise.expand(-1, samples.shape[1], -1))


def colored_noise(count: int, length_samples: int, device: torch.device) -> Tensor:
    """Draw noise (N, 1, S) of unit deviation whose power has a random slope of -2 to 0.5 over frequency."""
    spectrum = torch.fft.rfft(torch.randn(count, 1, length_samples, device=device))
    slopes = (torch.rand(count, 1, 1) * 2.5 - 2.0).to(device)
    frequencies = torch.arange(1, spectrum.shape[-1] + 1, device=device)
    noise: Tensor = torch.fft.irfft(spectrum * frequencies ** (slopes / 2), n=length_samples)
    return noise / (noise.std(dim=2, keepdim=True) + 1e-9)


def synthetic_sounds(count: int, rate_hz: int, length_samples: int, device: torch.device) -> Tensor:
    """Draw silence, noise or mains hum (N, 1, S), at a level from inaudible to loud."""
    drawn = torch.rand(count, 4)
    levels = 10 ** ((drawn[:, 1] * 65 - 80) / 20) * (drawn[:, 0] >= 0.1)  # a tenth is silence
    is_hum = drawn[:, 0] >= 0.7
    floors = torch.where(is_hum, 10 ** ((drawn[:, 2] * 30 - 40) / 20), 1.0)
    pitches_hz = torch.where(drawn[:, 3] < 0.5, 50.0, 60.0)
    amplitudes = torch.rand(count, HARMONICS) / torch.arange(1, HARMONICS + 1) * is_hum[:, None]
    phases = torch.rand(count, HARMONICS) * 2 * math.pi
    time_s = torch.arange(length_samples, dtype=torch.float64) / rate_hz
    sounds = colored_noise(count, length_samples, device) * _wide(floors, device)
    for harmonic in range(HARMONICS):
        turns = pitches_hz.double()[:, None] * time_s * (harmonic + 1) % 1
        wave = torch.sin(2 * math.pi * turns.float().to(device) + phases[:, harmonic, None].to(device))
        sounds = sounds + _wide(amplitudes[:, harmonic], device) * wave[:, None]
    return sounds * _wide(levels, device)


def _wide(values: Tensor, device: torch.device) -> Tensor:
    """Return values (N,) as (N, 1, 1) on a device."""
    return values[:, None, None].to(device)


def _index(rows: np.ndarray[tuple[int], np.dtype[np.int64]], like: Tensor) -> Tensor:
    return torch.from_numpy(rows).to(like.device)
