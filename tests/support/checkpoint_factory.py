"""Checkpoints of untrained networks, as `soundwatch train` would write them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch

from soundwatch.daemon.core.model.contract import ModelContract, encode_contract
from soundwatch.training.distillation.sound_groups import GROUPS
from soundwatch.training.model.checkpoint import Checkpoint, DataPlan, hash_network, save_checkpoint
from soundwatch.training.model.labels import LABELS
from soundwatch.training.model.network import build_network
from soundwatch.training.model.network_recipe import BlockCnn
from soundwatch.training.model.recipe import Augmentation, Optimisation, Recipe, encode_recipe
from support.fakes import SMALL_CONTRACT, SMALL_PROVENANCE, SMALL_SPEC

SMALL_RECIPE = Recipe(
    name="small",
    features=msgspec.structs.replace(SMALL_SPEC, channels=2, normalisation="example"),
    network=BlockCnn(widths=(4, 8), kernels=(3, 3), stride=2, kaiming_slope=0.1),
    activation="softmax",
    augmentation=Augmentation(),
    optimisation=Optimisation(max_learning_rate=1e-3, anneal="linear"),
    batch_clips=2,
    epochs=1,
    seed=1,
)


def random_network(recipe: Recipe) -> torch.nn.Module:
    """The recipe's network with random weights, and running statistics that are not the identity."""
    torch.manual_seed(recipe.seed)
    network = build_network(recipe).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return network


def contract_of(recipe: Recipe, network: torch.nn.Module) -> ModelContract:
    """A contract that fits the network."""
    return msgspec.structs.replace(
        SMALL_CONTRACT,
        name=recipe.name,
        features=recipe.features,
        labels=LABELS,
        activation=recipe.activation,
        thresholds=dict.fromkeys(LABELS, 0.5),
        provenance=msgspec.structs.replace(SMALL_PROVENANCE, recipe=recipe.name, recipe_sha256=recipe.sha256),
        weights_sha256=hash_network(network),
    )


def group_layer(recipe: Recipe) -> dict[str, torch.Tensor]:
    """State of a random layer for the groups of everyday sounds, as a run on street mixes leaves it."""
    head = random_network(recipe)[-1]  # type: ignore[index]
    layer = torch.nn.Linear(head.in_features, len(GROUPS))
    return {f"groups.{name}": value for name, value in layer.state_dict().items()}


def write_checkpoint(
    path: Path,
    recipe: Recipe = SMALL_RECIPE,
    network: torch.nn.Module | None = None,
    hint: dict[str, torch.Tensor] | None = None,
) -> Path:
    """A checkpoint of `network`, or of a random one."""
    network = network or random_network(recipe)
    plan = DataPlan(train_folds=(1,), test_folds=(), leaky_split=False, clips_sha256="")
    checkpoint = Checkpoint(
        contract=encode_contract(contract_of(recipe, network)),
        recipe=encode_recipe(recipe),
        plan=msgspec.json.encode(plan).decode(),
        model=network.state_dict(),
        ema=None,
        optimiser={},
        scheduler={},
        epoch=0,
        history=[],
        hint=hint,
    )
    save_checkpoint(path, checkpoint)
    return path
