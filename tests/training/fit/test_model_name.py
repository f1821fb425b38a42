"""Names of trained models: an own model is not mistaken for a shipped one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from soundwatch.training.cli.train import describe_next
from soundwatch.training.fit.run_record import model_name
from soundwatch.training.fit.scoring import Machine, RunRecord
from soundwatch.training.model.recipe import Recipe
from support.tiny_run import setup_on_folds


@pytest.mark.parametrize(
    ("model", "folder", "name"),
    [("urban", "mine", "mine"), ("urban", "urban", "own-urban"), ("tutorial", "a b", "a-b"), ("own", "mine", "own")],
)
def test_a_run_of_a_shipped_models_recipe_is_named_after_its_folder(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, model: str, folder: str, name: str
) -> None:
    recipe = msgspec.structs.replace(tiny_recipe, model=model)
    session = setup_on_folds(tiny_data, recipe, tmp_path / folder)
    assert model_name(session) == name
    described = describe_next(session, tiny_data, "urbansound8k")
    assert f"soundwatch run --model models/{name}.onnx" in described


def test_a_run_with_scores_of_other_folds_has_the_name_of_the_recipes_model(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe
) -> None:
    recipe = msgspec.structs.replace(tiny_recipe, model="urban")
    session = setup_on_folds(tiny_data, recipe, tmp_path / "ship")
    record = RunRecord(
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        plan=session.plan,
        negatives=0,
        epochs=1,
        seed=0,
        parameters=1,
        clips=1,
        seconds=1.0,
        machine=Machine(processor="none", cores=1, threads=1, device="cpu"),
        torch="none",
        scores=(),
        held_out=(),
    )
    assert model_name(replace(session, sources=(record,))) == "urban"
