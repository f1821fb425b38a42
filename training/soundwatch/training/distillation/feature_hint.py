"""Hint loss: prediction of the teacher's features from the student's maps.

Conventions: maps are (N, W, M, T) from the student's last convolution, features (N, V, D) from V
windows of the teacher. The weight of a map's frame in a window is their common time. Each of the D features
is standardized to mean 0 and deviation 1 over all examples.
Source: FitNets (Romero et al. 2015) regress an inner layer of the teacher; here the mean over its bands.
Does not: stay in the model: the hint layer is removed after training.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from soundwatch.training.distillation.teacher import HOP_SAMPLES, RATE_HZ, WINDOW_SAMPLES, TeacherFeatures

_FLOOR = 1e-2


class Hint(nn.Module):
    """Linear layer from the student's maps to the first half of the teacher's features, the means over a window.

    Attributes:
        projection: Linear layer.
    """

    overlap: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int, edges_s: NDArray[np.float64], teacher_features: TeacherFeatures) -> None:
        """Fit the scales to the teacher's features.

        Args:
            channels: Channels of the maps.
            edges_s: Start of each frame of the maps in one window of the student, and the end of the last (T + 1,).
            teacher_features: Teacher features (N, V, D) of all examples.
        """
        super().__init__()
        width = teacher_features.shape[2] // 2
        sample = teacher_features[::7, :, :width].astype(np.float32)
        self.projection = nn.Conv1d(channels, width, 1)
        self.register_buffer("overlap", _overlap(edges_s, teacher_features.shape[1]))
        self.register_buffer("mean", torch.from_numpy(sample.mean(axis=(0, 1))))
        self.register_buffer("deviation", torch.from_numpy(sample.std(axis=(0, 1)) + _FLOOR))

    def forward(self, maps: Tensor, teacher_features: Tensor) -> Tensor:
        """Compute the mean squared error between predicted and actual teacher features (N, V, D)."""
        predicted = self.projection(maps.mean(dim=2)).float() @ self.overlap  # (N, D / 2, V)
        wanted = (teacher_features[:, :, : len(self.mean)] - self.mean) / self.deviation
        difference: Tensor = (predicted.transpose(1, 2) - wanted).square().mean()
        return difference


def _overlap(edges_s: NDArray[np.float64], windows: int) -> Tensor:
    """Compute the share of each map frame in each teacher window (T, V); columns sum to 1."""
    shares = np.zeros((len(edges_s) - 1, windows), np.float32)
    for window in range(windows):
        start_s, length_s = window * HOP_SAMPLES / RATE_HZ, WINDOW_SAMPLES / RATE_HZ
        inside_s = np.clip(edges_s, start_s, start_s + length_s)
        shares[:, window] = np.diff(inside_s) / length_s
    return torch.from_numpy(shares)
