"""What the student is told of the teacher's features, beside its targets.

Conventions: maps are (N, W, M, T) as the student's last convolution leaves them, features (N, V, D) of V
windows of the teacher. A map's frame counts for a window by the time that both share. Features are
compared after each of the D numbers is brought to mean 0 and deviation 1 over the lessons.
Source: FitNets (Romero et al. 2015) regress a teacher's inner layer; here a mean over bands of it.
Does not: stay in the model: the hint layer is dropped with the training run.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.training.distillation.teacher import HOP_SAMPLES, RATE_HZ, WINDOW_SAMPLES, Heard

_FLOOR = 1e-2


class Hint(nn.Module):
    """A linear layer from the student's maps to the first half of the teacher's features: its means over a window.

    Attributes:
        tell: The layer.
    """

    overlap: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int, frames: int, spec: FeatureSpec, heard: Heard) -> None:
        """Fit the scales to what was heard.

        Args:
            channels: Of the maps.
            frames: Of the maps, over one window of the student.
            spec: The student's front end.
            heard: Features (N, V, D) of all lessons.
        """
        super().__init__()
        width = heard.shape[2] // 2
        sample = heard[::7, :, :width].astype(np.float32)
        self.tell = nn.Conv1d(channels, width, 1)
        self.register_buffer("overlap", _overlap(frames, heard.shape[1], spec))
        self.register_buffer("mean", torch.from_numpy(sample.mean(axis=(0, 1))))
        self.register_buffer("deviation", torch.from_numpy(sample.std(axis=(0, 1)) + _FLOOR))

    def forward(self, maps: Tensor, heard: Tensor) -> Tensor:
        """Mean squared difference between what the maps tell and the teacher's features (N, V, D)."""
        told = self.tell(maps.mean(dim=2)).float() @ self.overlap  # (N, D / 2, V)
        wanted = (heard[:, :, : len(self.mean)] - self.mean) / self.deviation
        difference: Tensor = (told.transpose(1, 2) - wanted).square().mean()
        return difference


def _overlap(frames: int, windows: int, spec: FeatureSpec) -> Tensor:
    """(T, V): how much of each window of the teacher falls to each frame of the maps; columns sum to 1."""
    frame_s = spec.window_samples / spec.rate_hz / frames
    shares = np.zeros((frames, windows), np.float32)
    for window in range(windows):
        start_s, length_s = window * HOP_SAMPLES / RATE_HZ, WINDOW_SAMPLES / RATE_HZ
        edges = np.clip(np.arange(frames + 1) * frame_s, start_s, start_s + length_s)
        shares[:, window] = np.diff(edges) / length_s
    return torch.from_numpy(shares)
