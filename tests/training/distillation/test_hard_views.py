"""Hard views: their weights and draws, and the earlier runs that are accepted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError, ModelError
from soundwatch.training.cli.crossval import crossval
from soundwatch.training.cli.train import train as train_command
from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from soundwatch.training.distillation.hard_views import draw_views, open_earlier_network, weigh_views, weights_of
from soundwatch.training.distillation.teacher_targets import TeacherTargets
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.scores.scoring import read_run
from soundwatch.training.fit.setup.run_setup import RunSetup
from soundwatch.training.model.checkpoint import FILE_NAME, load_network, read_checkpoint
from soundwatch.training.model.hard_views_recipe import HardViews
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.recipe_file import load_recipe
from support.level_teacher import TEACHING, LevelTeacher
from support.tiny_run import setup_on_folds
from support.urbansound8k_folder import write_data

HARD = HardViews(weight=3.0, score=0.3)
SILENT = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def first_recipe(tiny_recipe: Recipe) -> Recipe:
    return msgspec.structs.replace(tiny_recipe, teaching=TEACHING, epochs=1)


@pytest.fixture(scope="module")
def recipe(first_recipe: Recipe) -> Recipe:
    return msgspec.structs.replace(first_recipe, name="tiny-hard", hard_views=HARD)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, first_recipe: Recipe) -> Iterator[RunSetup]:
    """Yield a finished run on folds 1 and 3, tested on fold 2."""
    folder = tmp_path_factory.mktemp("first")
    write_data(folder / "data", folds=(1, 2, 3))
    setup = setup_on_folds(folder / "data", first_recipe, folder / "run", LevelTeacher())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        run_session(setup, False, SILENT)
        yield setup


def test_a_view_weighs_more_the_higher_its_highest_false_score_up_to_a_limit() -> None:
    errors = np.array([0, 0.15, 0.3, 0.9], np.float32)
    assert weights_of(errors, HARD) == pytest.approx([1, 2.5, 4, 4])


def test_an_epoch_draws_each_view_at_most_once_and_hard_views_more_often() -> None:
    weights = np.ones(1000, np.float32)
    weights[:100] = 4
    draws = [draw_views(weights, 200, np.random.default_rng((1, epoch))) for epoch in range(50)]
    assert all(len(set(draw.tolist())) == 200 for draw in draws)
    hard, easy = (np.mean([np.sum((draw < 100) == side) for draw in draws]) for side in (True, False))
    assert 2.5 < (hard / 100) / (easy / 900) < 4  # below 4, since a view that was drawn cannot be drawn again
    assert np.mean(np.flatnonzero(draws[0] < 100)) == pytest.approx(100, abs=25), "hard views come first"


def test_a_draw_depends_on_its_generator_alone() -> None:
    weights = np.linspace(1, 4, 100, dtype=np.float32)
    one, other, third = (draw_views(weights, 30, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert one == other != third


def test_classes_that_a_view_has_or_may_have_are_no_error(first: RunSetup, recipe: Recipe) -> None:
    earlier = open_earlier_network(first.out, recipe, first.plan)
    assert earlier
    mel_db = np.random.default_rng(1).normal(-40, 15, (3, 16, 32)).astype(np.float16)
    targets = np.zeros((3, 10), np.float32)
    targets[1], targets[2] = 1, np.nan
    views = TeacherTargets(mel_db, np.zeros((3, 2, 8), np.float16), targets, np.zeros((3, 0), np.float32))
    weights = weigh_views(earlier, views, recipe, torch.device("cpu"))
    with torch.no_grad():
        logits = earlier.network(torch.from_numpy(mel_db[:1, None].astype(np.float32)).expand(-1, 2, -1, -1))
    assert weights == pytest.approx([1 + 3 * min(1, logits.sigmoid().max().item() / 0.3), 1, 1], rel=1e-4)


def test_a_run_of_hard_views_names_the_earlier_weights_and_is_resumed_with_equal_ones_alone(
    first: RunSetup, recipe: Recipe, tmp_path: Path
) -> None:
    earlier = open_earlier_network(first.out, recipe, first.plan)
    assert earlier
    setup = replace(first, recipe=recipe, out=tmp_path / "run", earlier=earlier)
    run_session(setup, False, SILENT)
    _, contract = load_network(first.out / FILE_NAME)
    _, own = load_network(setup.out / FILE_NAME)
    assert read_run(setup.out).plan.hard_from == contract.weights_sha256
    assert own.provenance.data.endswith(f", hard views by weights {contract.weights_sha256[:12]}")
    assert contract.weights_sha256 != own.weights_sha256
    other = replace(
        setup, earlier=replace(earlier, contract=msgspec.structs.replace(earlier.contract, weights_sha256="0" * 64))
    )
    with pytest.raises(ConfigError, match="was made from other clips"):
        run_session(other, True, SILENT)


def test_an_earlier_run_that_has_learned_from_the_test_fold_is_refused(first: RunSetup, recipe: Recipe) -> None:
    plan = msgspec.structs.replace(first.plan, train_folds=(2, 3), test_folds=(1,))
    with pytest.raises(ConfigError, match="has learned from fold 1, on which this run is tested"):
        open_earlier_network(first.out, recipe, plan)


def test_an_earlier_run_on_other_clips_is_refused(first: RunSetup, recipe: Recipe, tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_data(root, folds=(1, 2, 3))
    (root / "audio" / "fold3" / "300-0-0-0.wav").unlink()
    plan = replace(first, split=split_by_folds(root, (1, 3), (2,))).plan
    with pytest.raises(ConfigError, match=r"a run on other data than this one \(clips_sha256 differ\)"):
        open_earlier_network(first.out, recipe, plan)


def test_an_earlier_run_with_another_front_end_is_refused(first: RunSetup, recipe: Recipe) -> None:
    features = msgspec.structs.replace(recipe.features, n_mels=20)
    with pytest.raises(ConfigError, match="run of recipe tiny, whose front end or activation differs"):
        open_earlier_network(first.out, msgspec.structs.replace(recipe, features=features), first.plan)


def test_an_earlier_run_that_is_not_finished_is_refused(first: RunSetup, recipe: Recipe, tmp_path: Path) -> None:
    state = torch.load(first.out / FILE_NAME, weights_only=True)
    torch.save(state | {"epoch": 0, "history": []}, tmp_path / FILE_NAME)
    assert read_checkpoint(tmp_path / FILE_NAME).epoch == 0
    with pytest.raises(ConfigError, match="ended after epoch 0 of 1; finish that run with --resume"):
        open_earlier_network(tmp_path, recipe, first.plan)


def test_a_folder_without_a_checkpoint_is_refused(recipe: Recipe, first: RunSetup, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No file"):
        open_earlier_network(tmp_path, recipe, first.plan)


def test_a_recipe_and_its_earlier_run_go_together(first: RunSetup, first_recipe: Recipe, recipe: Recipe) -> None:
    assert open_earlier_network(None, first_recipe, first.plan) is None
    with pytest.raises(ConfigError, match="recipe tiny has no hard_views section; leave it out"):
        open_earlier_network(first.out, first_recipe, first.plan)
    with pytest.raises(ConfigError, match="Recipe tiny-hard draws views by the errors of an earlier network"):
        open_earlier_network(None, recipe, first.plan)


def test_train_refuses_an_earlier_run_for_a_recipe_without_hard_views(tiny_data: Path, tiny_recipe_file: Path) -> None:
    options = ["--data", str(tiny_data), "--recipe", str(tiny_recipe_file), "--train-folds", "1,2", "--hard-from", "x"]
    with pytest.raises(ConfigError, match="--hard-from, and recipe tiny has no hard_views section"):
        CliRunner().invoke(train_command, options, catch_exceptions=False)


def test_crossval_refuses_hard_views_since_a_fold_is_one_run(tiny_data: Path) -> None:
    with pytest.raises(ConfigError, match="train each fold with `soundwatch train --hard-from`"):
        CliRunner().invoke(crossval, ["--data", str(tiny_data), "--recipe", "urban-hard"], catch_exceptions=False)


@pytest.mark.parametrize("numbers", [{"weight": 0.0}, {"score": 0.0}, {"score": 1.5}, {"weight": float("nan")}])
def test_weights_that_mean_nothing_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"hard_views\.(weight|score) is .*; it must be above 0"):
        msgspec.structs.replace(HARD, **numbers).__post_init__()


def test_hard_views_need_a_teacher(tiny_recipe: Recipe) -> None:
    with pytest.raises(ConfigError, match="hard_views section goes with a teaching section"):
        msgspec.structs.replace(tiny_recipe, hard_views=HARD).__post_init__()


def test_a_recipe_without_hard_views_keeps_its_hash() -> None:
    assert load_recipe("urban-street").sha256.startswith("0ff1256a8dfc")
