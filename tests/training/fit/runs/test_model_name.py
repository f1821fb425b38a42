"""Names of trained models: an own model is not mistaken for a shipped one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.cli.options import check_name
from soundwatch.training.cli.train import describe_next, evaluation_options, train
from soundwatch.training.data.datasets.class_folders import split_folders
from soundwatch.training.data.datasets.csv_labels import Columns
from soundwatch.training.fit.runs.run_record import model_name
from soundwatch.training.model.recipe import Recipe
from support.labeled_folder import write_classes
from support.tiny_run import setup_on_folds


@pytest.mark.parametrize(
    ("model", "folder", "name"),
    [
        ("urban", "mine", "mine"),
        ("urban", "urban", "own-urban"),
        ("tutorial", "a b", "a-b"),
        ("own", "mine", "own"),
        ("urban", "x" * 200, "x" * 96),
    ],
)
def test_a_run_of_a_shipped_models_recipe_is_named_after_its_folder(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, model: str, folder: str, name: str
) -> None:
    recipe = msgspec.structs.replace(tiny_recipe, model=model)
    session = setup_on_folds(tiny_data, recipe, tmp_path / folder)
    assert model_name(session) == name
    scored = evaluation_options(session.split, tiny_data, "urbansound8k", None, session.split.test_folds, None)
    folds = ",".join(map(str, session.split.test_folds))
    assert describe_next(session, scored).splitlines()[2:] == [
        f"  soundwatch evaluate models/{name}.onnx --data {tiny_data} --folds {folds}",
        f"  soundwatch run --model models/{name}.onnx",
    ]


def test_the_next_command_scores_what_the_run_held_out(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "my sounds")
    half, none = (split_folders(root, None, share) for share in (0.5, 0.0))
    options = f"--data '{root}' --layout folders --test-share 0.4999999"
    assert evaluation_options(half, root, "folders", None, (), 0.4999999) == options
    assert evaluation_options(none, root, "folders", None, (), 0.0) is None
    table = f"--data '{root}' --layout csv --columns file,class,fold --folds 5"
    assert evaluation_options(half, root, "csv", Columns("file", "class", "fold"), (5,), None) == table


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
        ("x" * 101, True, r"is no name of a file.* at most 100 bytes"),
    ],
)
def test_a_name_that_would_mislead_is_refused(name: str, takes_over_scores: bool, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_name(name, takes_over_scores)


@pytest.mark.parametrize(("option", "message"), [("--recipe", "No recipe"), ("--init-from", "name is empty")])
def test_an_option_with_the_value_of_an_unset_variable_is_not_the_default(
    tmp_path: Path, tiny_data: Path, option: str, message: str
) -> None:
    done = CliRunner().invoke(train, ["--data", str(tiny_data), option, "", "--out", str(tmp_path / "run")])
    assert message in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_names_that_are_taken_rightly_are_accepted() -> None:
    for name, takes_over_scores in ((None, False), ("urban", True), ("Türklingel-2.1", False)):
        check_name(name, takes_over_scores)
