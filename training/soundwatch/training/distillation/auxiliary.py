"""Auxiliary outputs of a student in training: the teacher's features and groups of everyday sounds.

Conventions: the loss is added to that of the classes. One linear layer predicts the groups from the input features
of the head, after dropout.
Does not: stay in the model: the layers are removed after training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundwatch.training.distillation.feature_hint import Hint
from soundwatch.training.distillation.sound_groups import GROUPS
from soundwatch.training.distillation.teacher import TeacherFeatures
from soundwatch.training.model.losses import compute_loss
from soundwatch.training.model.map_times import map_edges_s
from soundwatch.training.model.network import maps_of, pooled_of
from soundwatch.training.model.recipe import Recipe


class Auxiliary(nn.Module):
    """Hint layer and, if the recipe has street mixes with groups, a layer for the groups.

    Attributes:
        hint: Predicts the teacher's features from the maps.
        groups: Predicts logits (N, G) from pooled features; None without groups.
    """

    def __init__(self, hint: Hint, groups: nn.Linear | None, feature_weight: float, group_weight: float) -> None:
        super().__init__()
        self.hint, self.groups = hint, groups
        self._feature_weight, self._group_weight = feature_weight, group_weight

    def forward(self, maps: Tensor, pooled: Tensor, teacher_features: Tensor, groups: Tensor | None) -> Tensor:
        """Compute the weighted loss of maps (N, W, M, T) and pooled (N, P) for features (N, V, D) and groups (N, G)."""
        loss: Tensor = self._feature_weight * self.hint(maps, teacher_features)
        if self.groups is not None and groups is not None:
            logits = self.groups(pooled).float()
            loss = loss + self._group_weight * compute_loss(logits, groups, "sigmoid", 0.0)
        return loss


def start_auxiliary(network: nn.Sequential, recipe: Recipe, teacher_features: TeacherFeatures) -> Auxiliary:
    """Build layers for the network's maps and the teacher's features (N, V, D) of all examples."""
    assert recipe.teaching is not None
    spec, device = recipe.features, next(network.parameters()).device
    with torch.no_grad():
        maps = maps_of(network.eval(), torch.zeros(1, spec.channels, spec.n_mels, spec.n_frames, device=device))
        width = pooled_of(network, maps).shape[-1]
    hint = Hint(maps.shape[1], map_edges_s(recipe, maps.shape[3]), teacher_features)
    group_weight = recipe.street.group_weight if recipe.street else 0.0
    groups = nn.Linear(width, len(GROUPS)) if group_weight else None
    return Auxiliary(hint, groups, recipe.teaching.feature_weight, group_weight).to(device)
