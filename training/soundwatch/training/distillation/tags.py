"""Tag layer of a finished run, and networks with tags as a second output.

Conventions: a run on street mixes trains a linear layer for the groups of `GROUPS` on the input features of the head,
and keeps the layer in its checkpoint. A tag is a group by its name. The layers of the classes are those of the
network without tags, so their logits are equal bit for bit.
Does not: measure tags (`evaluation/tag_scores.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.inference.classifier import resolve_model
from soundwatch.training.distillation.sound_groups import GROUPS
from soundwatch.training.model.checkpoint import read_checkpoint

_PREFIX = "groups."


class TagLayer(nn.Linear):
    """Linear layer for the tags, which describe all frames of a window, whichever frames the head also scores apart."""

    def forward(self, pooled: Tensor) -> Tensor:
        """Compute logits (N, G) of features (N, P) or (N, 2, P)."""
        whole = pooled if pooled.dim() == 2 else pooled[:, 0]
        return nn.functional.linear(whole, self.weight, self.bias)


class TaggedNetwork(nn.Module):
    """Network with two outputs: logits of the classes and scores of the tags.

    Args:
        network: Network of the classes; its last layer is the head.
        tag_layer: Linear layer for the tags, with the input features of the head.
    """

    def __init__(self, network: nn.Sequential, tag_layer: TagLayer) -> None:
        super().__init__()
        self.body, self.head, self.tag_layer = network[:-1], network[-1], tag_layer

    def forward(self, mel_db: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits (N, K) and tag scores (N, G) of mel decibels (N, C, M, T)."""
        pooled = self.body(mel_db)
        return self.head(pooled), self.tag_layer(pooled).sigmoid()


def load_tag_layer(path: Path, tags: Sequence[str]) -> TagLayer:
    """Load the layer of these tags from a checkpoint, or the layer of all tags from an ONNX file.

    Raises:
        ModelError: The file is not a checkpoint, or its run had no groups of everyday sounds.
    """
    weight, bias = _from_checkpoint(path, tags) if path.suffix == ".pt" else _from_onnx(path)
    layer = TagLayer(weight.shape[1], len(weight))
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer.eval()


def _from_checkpoint(path: Path, tags: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return weight (G, P) and bias (G,) of these tags."""
    state = read_checkpoint(path).hint or {}
    weight, bias = state.get(f"{_PREFIX}weight"), state.get(f"{_PREFIX}bias")
    if weight is None or bias is None or len(weight) != len(GROUPS):
        raise ModelError(
            f"{path} has no layer for the {len(GROUPS)} groups of everyday sounds. Train a recipe with street mixes, "
            "such as urban-street, or leave out --sounds."
        )
    names = [group.name for group in GROUPS]
    rows = [names.index(tag) for tag in tags]
    return weight[rows], bias[rows]


def _from_onnx(path: Path) -> tuple[Tensor, Tensor]:
    """Return weight (G, P) and bias (G,) of the tags of a file that the export package wrote."""
    import onnx

    initializers = onnx.load(str(resolve_model(path))).graph.initializer
    values = {
        initializer.name: torch.from_numpy(onnx.numpy_helper.to_array(initializer).copy())
        for initializer in initializers
    }
    return values["tag_layer.weight"], values["tag_layer.bias"]
