"""Soft labels from small classifiers (heads) on the teacher's features, trained on the training labels.

Conventions: in, (N, W, D) features; out, (N, K) logits: the mean over windows, weighted by a second output of
the layer, so a shot in one window of seven is not lost in the silence of six.
Does not: use a test clip, or exist after the training run.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from soundwatch.training.distillation.teacher_targets import TeacherTargets
from soundwatch.training.model.losses import compute_loss

HIDDEN: Final = 256
BATCH_EXAMPLES: Final = 64
PASSES: Final = 4
LEARNING_RATE: Final = 2e-3
SMOOTHING_SHARE: Final = 0.05
MIXUP_ALPHA: Final = 0.3


class WindowHead(nn.Module):
    """Two linear layers per window, with a learned weight for each window and class."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm1d(width, affine=False)
        self.hidden = nn.Sequential(nn.Dropout(0.2), nn.Linear(width, HIDDEN), nn.ReLU(), nn.Dropout(0.4))
        self.logits = nn.Linear(HIDDEN, classes)
        self.weights = nn.Linear(HIDDEN, classes)

    def forward(self, teacher_features: Tensor) -> Tensor:
        """Compute logits (N, K) of features (N, W, D)."""
        hidden = self.hidden(self.normalise(teacher_features.flatten(0, 1)).unflatten(0, teacher_features.shape[:2]))
        weighted: Tensor = self.logits(hidden) * self.weights(hidden).softmax(dim=1)
        return weighted.sum(dim=1)


def soft_targets(teacher_targets: TeacherTargets, heads: int, seed: int, bfloat16: bool = False) -> NDArray[np.float32]:
    """Train `heads` heads with different seeds, and return their mean scores (N, K) on the training examples."""
    scores = np.zeros_like(teacher_targets.targets)
    for number in range(heads):
        scores += _score(fit_head(teacher_targets, seed * 1000 + number, bfloat16), teacher_targets) / heads
    return scores


def fit_head(teacher_targets: TeacherTargets, seed: int, bfloat16: bool = False) -> WindowHead:
    """Train one head and return it in eval mode; in bfloat16 if requested."""
    torch.manual_seed(seed)
    head = WindowHead(teacher_targets.teacher_features.shape[2], teacher_targets.targets.shape[1])
    steps = PASSES * -(-len(teacher_targets.teacher_features) // BATCH_EXAMPLES)
    optimizer = torch.optim.AdamW(head.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(PASSES):
        for rows in torch.randperm(len(teacher_targets.teacher_features)).split(BATCH_EXAMPLES):  # type: ignore[no-untyped-call]
            teacher_features = torch.from_numpy(teacher_targets.teacher_features[rows.numpy()]).float()
            targets = torch.from_numpy(teacher_targets.targets[rows.numpy()])
            share = torch.distributions.Beta(MIXUP_ALPHA, MIXUP_ALPHA).sample((len(rows), 1))
            partner = torch.randperm(len(rows))
            teacher_features = share[..., None] * teacher_features + (1 - share[..., None]) * teacher_features[partner]
            targets = share * targets + (1 - share) * targets[partner]
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = head(teacher_features)
            loss = compute_loss(logits.float(), targets, "sigmoid", SMOOTHING_SHARE)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return head.eval()


@torch.no_grad()
def _score(head: WindowHead, teacher_targets: TeacherTargets) -> NDArray[np.float32]:
    """Compute scores (N, K) of all examples."""
    rows = range(0, len(teacher_targets.teacher_features), 512)
    parts = [
        head(torch.from_numpy(teacher_targets.teacher_features[row : row + 512]).float()).sigmoid().numpy()
        for row in rows
    ]
    return np.concatenate(parts)
