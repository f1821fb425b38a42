"""Forward pass and loss of a training step, as one module that several processes or a compiler can wrap.

Conventions: mel decibels (N, C, M, T), targets (N, K).
Does not: update weights (`fit/epochs/loop.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundwatch.training.distillation.auxiliary import Auxiliary
from soundwatch.training.model.losses import compute_loss, count_hits
from soundwatch.training.model.network import logits_of, maps_of, pooled_of
from soundwatch.training.model.recipe import Recipe


class LossModule(nn.Module):
    """Forward pass, loss and training accuracy of one batch.

    Args:
        network: Network under training.
        auxiliary: Auxiliary layers of training; None without a teacher.
        recipe: Recipe of the run.
        device: Device of the computation.
    """

    def __init__(
        self, network: nn.Sequential, auxiliary: Auxiliary | None, recipe: Recipe, device: torch.device
    ) -> None:
        super().__init__()
        self.network, self.auxiliary = network, auxiliary
        self._recipe, self._device = recipe, device

    def forward(
        self, mel_db: Tensor, targets: Tensor, teacher_features: Tensor | None, groups: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the mean loss over the rows, 0 without rows, and the counts (2,) of `count_hits`."""
        recipe = self._recipe
        # bfloat16 has float32's range, so no loss scaling (and no state of it) is needed.
        halved = recipe.trains_in_bfloat16(self._device.type)
        auxiliary_loss: Tensor | float = 0.0
        with torch.autocast(self._device.type, torch.bfloat16, enabled=halved):
            maps = maps_of(self.network, mel_db.contiguous(memory_format=torch.channels_last))
            pooled = pooled_of(self.network, maps)
            logits = logits_of(self.network, pooled)
            if self.auxiliary and teacher_features is not None:
                auxiliary_loss = self.auxiliary(maps, pooled, teacher_features, groups)
        smoothing_share = (
            0.0 if recipe.teaching else recipe.optimisation.label_smoothing_share
        )  # distillation targets are smoothed already
        loss = compute_loss(logits.float(), targets, recipe.activation, smoothing_share) + auxiliary_loss
        loss = loss if len(targets) else loss.nan_to_num()  # the mean of no rows is NaN and must not update weights
        return loss, count_hits(logits.detach(), targets)
