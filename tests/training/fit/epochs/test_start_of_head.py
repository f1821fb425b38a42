"""The head of a new network: random, or zeros if the recipe's teaching section says so."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import pytest
import torch

from soundwatch.training.fit.epochs.loop import start_run
from soundwatch.training.model.recipe import Recipe
from support.level_teacher import TEACHING
from support.tiny_run import setup_on_folds


@pytest.mark.parametrize("head", ["drawn", "zero"])
def test_a_recipe_says_if_the_head_starts_at_random_or_at_zero(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, head: Literal["drawn", "zero"]
) -> None:
    teaching = msgspec.structs.replace(TEACHING, head=head)
    recipe = msgspec.structs.replace(tiny_recipe, teaching=teaching)
    network = start_run(setup_on_folds(tiny_data, recipe, tmp_path / "run")).network
    weights = dict(network[-1].named_parameters())
    assert set(weights) == {"weight", "bias"}
    assert [bool(torch.count_nonzero(values)) for values in weights.values()] == [head == "drawn"] * 2
    assert all(torch.count_nonzero(values) for name, values in network[:-1].named_parameters() if "weight" in name)


def test_the_start_of_the_head_is_part_of_the_hash_of_a_recipe(tiny_recipe: Recipe) -> None:
    drawn, zero = (
        msgspec.structs.replace(tiny_recipe, teaching=msgspec.structs.replace(TEACHING, head=head))
        for head in ("drawn", "zero")
    )
    assert drawn.sha256 == msgspec.structs.replace(tiny_recipe, teaching=TEACHING).sha256 != zero.sha256
