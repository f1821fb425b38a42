"""Activations and losses of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundwatch.daemon.core.model.contract import Activation


def compute_loss(logits: Tensor, targets: Tensor, activation: Activation, smoothing_share: float) -> Tensor:
    """Compute the cross-entropy of logits and targets (N, K): over the classes for softmax, per class for sigmoid.

    A NaN sigmoid target is ignored: it is unknown if the class is audible in the example.
    """
    if activation == "softmax":
        return nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing_share)
    smooth = targets * (1 - smoothing_share) + smoothing_share / targets.shape[1]
    known = ~smooth.isnan()
    losses = nn.functional.binary_cross_entropy_with_logits(logits, smooth.nan_to_num(), reduction="none")
    return (losses * known).sum(dim=1).mean()


def activate(logits: Tensor, activation: Activation) -> Tensor:
    """Compute scores (N, K) in [0, 1] from logits (N, K)."""
    return logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()


def count_hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Count correct examples and all examples of a class, as (2,) integers, from logits and targets (N, K).

    The class of an example is that of its largest target. Not counted are examples without a target of a half or
    more, which are negatives or too mixed for a class, and examples with a NaN target, whose class is uncertain.
    """
    largest, classes = targets.max(dim=1)
    counted = largest >= 0.5
    hits = counted & (logits.argmax(dim=1) == classes)
    return torch.stack([hits.sum(), counted.sum()])
