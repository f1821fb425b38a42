"""Fine-tuning of a pretrained network on new classes: the new head first, then all layers at a lower rate.

Conventions: the head is the network's last layer. The epoch number decides which layers are trained, so
an interrupted run resumes identically.
Source: the order (head alone, then all at a lower rate) is ULMFiT's gradual unfreezing in two steps (Howard and
Ruder, 2018).
Does not: read the pretrained weights (`model/pretrained.py`).
"""

from __future__ import annotations

import torch
from torch import nn

from soundwatch.training.model.pretrained import PretrainedModel
from soundwatch.training.model.recipe import FineTuning, Recipe


def load_backbone(network: nn.Sequential, origin: PretrainedModel) -> None:
    """Load the pretrained layers into a new network; its head keeps its random weights."""
    network.load_state_dict(network.state_dict() | origin.body)


def build_optimizer(network: nn.Sequential, recipe: Recipe, auxiliary: nn.Module | None) -> torch.optim.Optimizer:
    """Build AdamW at the recipe's peak learning rate; pretrained layers get their share of it."""
    numbers = recipe.optimisation
    trained = recipe.finetune or recipe.teaching
    body_rate = numbers.max_learning_rate * (trained.body_learning_rate_share if trained else 1.0)
    fresh = [*network[-1].parameters(), *(auxiliary.parameters() if auxiliary else ())]
    groups = [
        {"params": list(network[:-1].parameters()), "lr": body_rate},
        {"params": fresh, "lr": numbers.max_learning_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=numbers.weight_decay)


def freeze_layers(network: nn.Sequential, tuning: FineTuning, epoch: int) -> None:
    """Freeze the layers that are not trained in this epoch, counted from 1; batch norm's statistics stay fixed."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    for parameter in network[:-1].parameters():
        parameter.requires_grad = epoch > tuning.head_epochs
