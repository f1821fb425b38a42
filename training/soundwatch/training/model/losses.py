"""Activations and losses of a network."""

from __future__ import annotations

from torch import Tensor, nn

from soundwatch.daemon.core.contract import Activation


def compute_loss(logits: Tensor, targets: Tensor, activation: Activation, smoothing_share: float) -> Tensor:
    """Cross-entropy of logits and targets (N, K): over the classes for softmax, of each class for sigmoid.

    A sigmoid target that is NaN is left out: the example does not say whether the class is audible.
    """
    if activation == "softmax":
        return nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing_share)
    smooth = targets * (1 - smoothing_share) + smoothing_share / targets.shape[1]
    known = ~smooth.isnan()
    each = nn.functional.binary_cross_entropy_with_logits(logits, smooth.nan_to_num(), reduction="none")
    return (each * known).sum(dim=1).mean()


def activate(logits: Tensor, activation: Activation) -> Tensor:
    """Scores (N, K) in [0, 1] of logits (N, K)."""
    return logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()
