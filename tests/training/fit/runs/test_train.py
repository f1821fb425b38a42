"""Whole runs on a tiny data set: resumed runs are identical, and inconsistent inputs are refused."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError, DataError, SinkError, SoundwatchError
from soundwatch.training.cli.options import override
from soundwatch.training.cli.train import train as train_command
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.scores.scoring import read_run
from soundwatch.training.fit.setup.placement import Loading
from soundwatch.training.fit.setup.run_setup import RunSetup, pick_device
from soundwatch.training.fit.steps.loss_module import LossModule
from soundwatch.training.model.checkpoint import FILE_NAME, load_network, read_checkpoint
from soundwatch.training.model.recipe import Recipe, decode_recipe
from soundwatch.training.model.recipe_file import load_recipe, shipped_recipes
from support.tiny_run import setup_on_folds


def _run(session: RunSetup, resume: bool = False) -> None:
    run_session(session, resume, Console(file=io.StringIO()))


def _cli(*arguments: object) -> str:
    result = CliRunner().invoke(train_command, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_weights_do_not_depend_on_where_clips_are_or_who_reads_them(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe
) -> None:
    recipe = msgspec.structs.replace(tiny_recipe, epochs=2)
    states = list[dict[str, torch.Tensor]]()
    for name, loading in (
        ("host", Loading("host", 0)),
        ("workers", Loading("host", 2)),
        ("device", Loading("device")),
    ):
        session = replace(setup_on_folds(tiny_data, recipe, tmp_path / name), loading=loading)
        _run(session)
        states.append(read_checkpoint(session.out / FILE_NAME).model)
    for state in states[1:]:
        assert all(torch.equal(state[name], states[0][name]) for name in states[0])


def test_the_place_of_the_clips_is_printed(tmp_path: Path, tiny_data: Path, tiny_recipe_file: Path) -> None:
    common = ["train", "--data", str(tiny_data), "--recipe", str(tiny_recipe_file), "--epochs", "1"]
    for place, words in (("auto", "in the cache, read by this process"), ("device", "of decoded clips on cpu")):
        arguments = [*common[1:], "--data-on", place, "--out", str(tmp_path / place)]
        result = CliRunner().invoke(train_command, arguments, catch_exceptions=False)
        assert words in result.stderr
    with pytest.raises(ConfigError, match="no process reads ahead"):
        _cli(*common[1:], "--data-on", "device", "--workers", 1, "--out", tmp_path / "none")
    with pytest.raises(ConfigError, match="--workers 5000, and at most"):
        _cli(*common[1:], "--data-on", "host", "--workers", 5000, "--out", tmp_path / "none")


@pytest.mark.usefixtures("run_pictures")
def test_a_finished_run_describes_itself(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> None:
    session = setup_on_folds(tiny_data, tiny_recipe, tmp_path / "run")
    _run(session)
    network, contract = load_network(session.out / FILE_NAME)
    assert not network.training
    assert contract.provenance.folds == (1, 3)
    assert contract.provenance.data == "UrbanSound8K folds 1, 3 (1 clips missing)"
    assert not contract.provenance.leaky_split
    assert [score.tested_on for score in contract.scores] == ["UrbanSound8K fold 2"]
    assert contract.scores[0].clips == 10
    record = read_run(session.out)
    assert (record.scores, record.recipe_sha256) == (contract.scores, tiny_recipe.sha256)
    assert [len(clip.values) for clip in record.held_out] == [10] * 10
    rows = list(csv.DictReader((session.out / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert {"train_loss", "train_accuracy", "test_loss", "accuracy", "macro_f1", "recall_siren"} <= set(rows[0])
    assert record.train_accuracy == round(float(rows[-1]["train_accuracy"]), 4)
    assert all(0 < float(row["learning_rate"]) <= tiny_recipe.optimisation.max_learning_rate for row in rows)
    for picture in ("curves.png", "confusion.png"):
        assert (session.out / picture).read_bytes().startswith(b"\x89PNG")


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> None:
    wild = msgspec.structs.replace(tiny_recipe.optimisation, max_learning_rate=1e38)
    recipe = msgspec.structs.replace(tiny_recipe, optimisation=wild)
    with pytest.raises(ConfigError, match=r"The loss is (nan|inf) at step \d+ of epoch 1.*max_learning_rate"):
        _run(setup_on_folds(tiny_data, recipe, tmp_path / "run"))


@pytest.mark.parametrize("obstacle", ["run", "run/log.csv/x"])
def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, obstacle: str
) -> None:
    (tmp_path / obstacle).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / obstacle).write_text("")
    with pytest.raises(SinkError, match=r"The run cannot be written to .*run: .* choose another --out"):
        _run(setup_on_folds(tiny_data, tiny_recipe, tmp_path / "run"))


def test_a_leaky_split_brands_the_contract(tmp_path: Path, tiny_data: Path, tiny_recipe_file: Path) -> None:
    out = tmp_path / "run"
    _cli("--data", tiny_data, "--recipe", tiny_recipe_file, "--leaky-split", "--epochs", 1, "--out", out)
    contract = load_network(out / FILE_NAME)[1]
    assert contract.provenance.leaky_split
    assert contract.scores[0].tested_on.startswith("the other 6 clips of UrbanSound8K folds 1, 2, 3")


def test_a_shipping_run_takes_over_scores_and_thresholds(
    tmp_path: Path, tiny_data: Path, tiny_recipe_file: Path
) -> None:
    negatives = tmp_path / "negatives"
    negatives.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        soundfile.write(negatives / f"rain{number:02d}.wav", rng.normal(0, 0.1, 4000), 8000)
    common = ["--data", tiny_data, "--recipe", tiny_recipe_file, "--negatives", negatives, "--epochs", 1]
    printed = _cli(*common, "--train-folds", "2,3", "--test-folds", "1", "--out", tmp_path / "a")
    assert "UrbanSound8K fold 1: accuracy" in printed
    assert "training clips, augmented: accuracy" in printed
    _cli(*common, "--train-folds", "1,3", "--test-folds", "2", "--out", tmp_path / "b")
    _cli(*common, "--scores-from", tmp_path / "a", "--scores-from", tmp_path / "b", "--out", tmp_path / "ship")

    contract = load_network(tmp_path / "ship" / FILE_NAME)[1]
    assert [score.tested_on for score in contract.scores] == ["UrbanSound8K fold 1", "UrbanSound8K fold 2"]
    assert contract.provenance.folds == (1, 2, 3)
    assert "other sounds" in contract.provenance.data
    assert all(0.2 <= threshold <= 0.95 for threshold in contract.thresholds.values())
    held_out = [clip for clip in read_run(tmp_path / "a").held_out if clip.class_id is None]
    assert 0 < len(held_out) < 12
    with pytest.raises(ConfigError, match=r"is a run of recipe tiny .* not of this tiny"):
        _cli(*common, "--seed", 9, "--scores-from", tmp_path / "a", "--out", tmp_path / "other")
    with pytest.raises(ConfigError, match="has no scores of held-out folds"):
        _cli(*common, "--scores-from", tmp_path / "ship", "--out", tmp_path / "other")


def test_batch_and_learning_rate_of_the_command_line_are_in_the_recipe_of_the_checkpoint(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, tiny_recipe_file: Path
) -> None:
    out = tmp_path / "run"
    common = ["--data", tiny_data, "--recipe", tiny_recipe_file, "--epochs", 1]
    _cli(*common, "--batch", 5, "--lr", 2e-3, "--out", out)
    recipe = decode_recipe(read_checkpoint(out / FILE_NAME).recipe)
    assert (recipe.batch_clips, recipe.optimisation.max_learning_rate) == (5, 2e-3)
    assert recipe.optimisation.ema_decay == tiny_recipe.optimisation.ema_decay
    assert load_network(out / FILE_NAME)[1].provenance.recipe_sha256 == recipe.sha256 != tiny_recipe.sha256
    with pytest.raises(ConfigError, match=r"differs from this run's tiny in .*batch_clips"):
        _cli(*common, "--lr", 2e-3, "--out", out, "--resume")


def test_a_recipe_without_numbers_of_the_command_line_keeps_its_hash() -> None:
    for recipe in map(load_recipe, shipped_recipes()):
        assert override(recipe, None, None, None, None) == recipe


@pytest.mark.parametrize(
    ("option", "value"), [("--batch", "0"), ("--lr", "0"), ("--lr", "-1"), ("--lr", "nan"), ("--lr", "fast")]
)
def test_a_batch_or_a_learning_rate_that_is_no_such_number_is_refused(tmp_path: Path, option: str, value: str) -> None:
    result = CliRunner().invoke(train_command, ["--data", str(tmp_path), option, value])
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.stderr


def test_a_seed_outside_the_recipes_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="seed is 100000000000000000000; it must lie in 0 to"):
        _cli("--data", tmp_path, "--seed", 10**20)


@pytest.mark.parametrize(
    ("room_clips", "advice"),
    [
        (3, r"too small for 8 clips a step; use --batch 2, which fits now"),
        (0, r"too small for 8 clips a step, and for one; end other programs"),
    ],
)
def test_a_batch_that_does_not_fit_the_memory_is_answered_with_one_that_does(
    tmp_path: Path,
    tiny_data: Path,
    tiny_recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    room_clips: int,
    advice: str,
) -> None:
    forward = LossModule.forward

    def limited(self: LossModule, mel_db: torch.Tensor, targets: torch.Tensor, *rest: Any) -> Any:
        if len(targets) > room_clips:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return forward(self, mel_db, targets, *rest)

    monkeypatch.setattr(LossModule, "forward", limited)
    session = setup_on_folds(tiny_data, tiny_recipe, tmp_path / "run")
    with pytest.raises(ConfigError, match=advice) as caught:
        _run(session)
    assert caught.value.__context__ is None, "the tensors of the failed step are not kept"
    assert not (session.out / FILE_NAME).exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--leaky-split", "--test-folds", "1"], ConfigError, "--leaky-split ignores the official folds"),
        (["--recipe", "tutorial", "--negatives", "."], ConfigError, "has softmax scores"),
        (["--scores-from", "nowhere"], DataError, "No finished run in nowhere"),
        (["--negatives", "nowhere"], DataError, "No recordings under nowhere"),
        (["--test-folds", "7"], DataError, "Fold 7 has no clips"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    tiny_data: Path, options: list[str], error: type[SoundwatchError], message: str
) -> None:
    with pytest.raises(error, match=message):
        _cli("--data", tiny_data, *options)


def test_an_invalid_list_of_folds_is_refused(tiny_data: Path) -> None:
    result = CliRunner().invoke(train_command, ["--data", str(tiny_data), "--test-folds", "one"])
    assert result.exit_code == 2
    assert "is not a list of folds" in result.stderr


@pytest.mark.parametrize(("name", "remedy"), [("cuda", "install its driver"), ("mps", "Apple silicon")])
def test_an_accelerator_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, remedy: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match=f"torch finds no {name.upper()} device; use --device cpu, or .*{remedy}"):
        pick_device(name)


def test_a_run_in_bfloat16_gives_other_weights_and_says_so_in_its_recipe(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, tiny_recipe_file: Path
) -> None:
    common = ["--data", tiny_data, "--recipe", tiny_recipe_file, "--epochs", 1]
    states = {}
    for name in ("float32", "bfloat16"):
        _cli(*common, "--precision", name, "--balance", "--out", tmp_path / name)
        state = read_checkpoint(tmp_path / name / FILE_NAME)
        recipe = decode_recipe(state.recipe)
        assert (recipe.precision, recipe.balance) == (name, True)
        assert all(value.dtype != torch.bfloat16 for value in state.model.values()), "weights stay in float32"
        assert all(value.isfinite().all() for value in state.model.values())
        states[name] = state.model
    assert any(not torch.equal(value, states["bfloat16"][name]) for name, value in states["float32"].items())
    assert not tiny_recipe.trains_in_bfloat16("cpu")
    assert tiny_recipe.trains_in_bfloat16("cuda")
