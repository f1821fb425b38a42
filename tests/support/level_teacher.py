"""A teacher without a network, for tests of distillation."""

from __future__ import annotations

import numpy as np
import torch

from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.distillation.teacher import AUDIOSET_CLASSES, TeacherOutputs
from soundwatch.training.distillation.teacher_layers import Layer, Trunk
from soundwatch.training.model.recipe import Distillation

TEACHING = Distillation(
    views=2, views_seed=1, mix_probability=0.5, heads=1, soft_share=0.5, feature_weight=1.0, bfloat16=False
)


class LevelTeacher:
    """A teacher whose features are the level of each half of a sound, eight times; it counts the sounds."""

    sha256 = "0" * 64

    def __init__(self) -> None:
        self.calls = 0

    def outputs(self, samples: Samples, rate_hz: int) -> TeacherOutputs:  # noqa: ARG002 - a teacher's method
        self.calls += 1
        levels = [np.full(8, np.abs(half).mean()) for half in np.array_split(samples[0], 2)]
        scores = np.full(AUDIOSET_CLASSES, 0.25, np.float16)
        return TeacherOutputs(np.stack(levels).astype(np.float16), scores)

    def trunk(self) -> Trunk:
        """Return three layers like YAMNet's, of 4 channels, on 16 bands."""
        rng = torch.Generator().manual_seed(3)
        kernels = [torch.randn(shape, generator=rng) for shape in ((4, 1, 3, 3), (4, 1, 3, 3), (6, 4, 1, 1))]
        mel = torch.eye(16).repeat_interleave(16, dim=1)  # (M, F - 1)
        layers = [Layer(k, torch.ones(len(k)), 2 if n == 0 else 1, n == 1) for n, k in enumerate(kernels)]
        return Trunk(torch.nn.functional.pad(mel, (0, 1)), layers)
