"""Names of trained models: an own model is not mistaken for a shipped one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.cli.options import check_name
from soundwatch.training.cli.train import describe_next
from soundwatch.training.fit.run_record import model_name
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


def test_a_name_of_its_own_is_the_models(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> None:
    recipe = msgspec.structs.replace(tiny_recipe, model="urban")
    session = setup_on_folds(tiny_data, recipe, tmp_path / "ship")
    assert model_name(replace(session, name="urban")) == "urban"
    assert model_name(session) == "ship", "also where scores of other folds are taken over"


@pytest.mark.parametrize(
    ("name", "takes_over_scores", "message"),
    [
        ("urban", False, "--name urban is the name of a shipped model"),
        ("a/b", True, "--name 'a/b' is no name of a file"),
        ("", True, "--name '' is no name of a file"),
    ],
)
def test_a_name_that_would_mislead_is_refused(name: str, takes_over_scores: bool, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_name(name, takes_over_scores)


def test_names_that_are_taken_rightly_are_accepted() -> None:
    for name, takes_over_scores in ((None, False), ("urban", True), ("Türklingel-2.1", False)):
        check_name(name, takes_over_scores)
