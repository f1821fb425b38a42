"""Means of finished runs: their weights, scores and records, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
import torch
from click.testing import CliRunner
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError, DataError
from soundwatch.training.cli.average import average
from soundwatch.training.cli.scores_from import read_scores
from soundwatch.training.distillation.hard_views import open_earlier_network
from soundwatch.training.distillation.sound_groups import GROUPS
from soundwatch.training.distillation.tags import load_tag_layer
from soundwatch.training.evaluation.streets.held_out import open_network
from soundwatch.training.fit.runs.average import average_weights, refuse_differences
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.scores.scoring import read_run
from soundwatch.training.model.checkpoint import (
    FILE_NAME,
    FinishedRun,
    hash_network,
    load_network,
    open_finished,
)
from soundwatch.training.model.hard_views_recipe import HardViews
from soundwatch.training.model.recipe import Recipe
from support.level_teacher import TEACHING
from support.tiny_run import setup_on_folds
from support.urbansound8k_folder import write_data

SILENT = Console(file=io.StringIO())


@dataclass(frozen=True)
class Runs:
    """Two runs of two seeds on folds 1 and 3, tested on fold 2, and their mean."""

    data: Path
    one: Path
    two: Path
    mean: Path
    printed: str

    @property
    def finished(self) -> tuple[FinishedRun, FinishedRun]:
        return open_finished(self.one), open_finished(self.two)


def command(*arguments: object) -> str:
    result = CliRunner().invoke(average, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Recipe) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("runs")
    write_data(folder / "data", folds=(1, 2, 3))
    one, two, mean = (folder / name for name in ("one", "two", "mean"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for seed, out in ((5, one), (6, two)):
            recipe = msgspec.structs.replace(tiny_recipe, seed=seed, epochs=1)
            run_session(setup_on_folds(folder / "data", recipe, out), False, SILENT)
        printed = command(one, two, "--data", folder / "data", "--out", mean)
        yield Runs(folder / "data", one, two, mean, printed)


def test_the_mean_is_of_all_weights_and_statistics_and_counts_are_of_the_first_run() -> None:
    first = {"weight": torch.tensor([1.0, 2.0]), "count": torch.tensor(7)}
    second = {"weight": torch.tensor([3.0, 7.0]), "count": torch.tensor(9)}
    mean = average_weights([first, second])
    assert mean["weight"].tolist() == [2.0, 4.5]
    assert mean["weight"].dtype == torch.float32
    assert mean["count"].item() == 7


def test_a_mean_of_runs_is_of_their_final_weights(runs: Runs) -> None:
    (one, _), (two, _), (mean, contract) = (load_network(out / FILE_NAME) for out in (runs.one, runs.two, runs.mean))
    states = [network.state_dict() for network in (one, two, mean)]
    names = [name for name, value in states[0].items() if value.is_floating_point()]
    assert any("running_var" in name for name in names)
    for name in names:
        torch.testing.assert_close(states[2][name], (states[0][name] + states[1][name]) / 2)
    assert hash_network(mean) == contract.weights_sha256


def test_a_mean_has_the_mean_of_the_tag_layers(runs: Runs, tmp_path: Path) -> None:
    for number, folder in enumerate((runs.one, runs.two)):
        out = tmp_path / folder.name
        out.mkdir()
        hint = {"groups.weight": torch.full((len(GROUPS), 3), number + 1.0), "groups.bias": torch.zeros(len(GROUPS))}
        torch.save(torch.load(folder / FILE_NAME, weights_only=True) | {"hint": hint}, out / FILE_NAME)
        (out / "run.json").write_bytes((folder / "run.json").read_bytes())
    command(tmp_path / "one", tmp_path / "two", "--data", runs.data, "--out", tmp_path / "out")
    layer = load_tag_layer(tmp_path / "out" / FILE_NAME, [GROUPS[4].name])
    assert layer.weight.tolist() == [[1.5, 1.5, 1.5]]


def test_a_mean_names_the_runs_in_its_plan_its_contract_and_its_record(runs: Runs) -> None:
    record, contract = read_run(runs.mean), load_network(runs.mean / FILE_NAME)[1]
    hashes = [run.contract.weights_sha256 for run in runs.finished]
    assert [(run.seed, run.weights_sha256) for run in record.plan.averaged] == [(5, hashes[0]), (6, hashes[1])]
    assert open_finished(runs.mean).plan == record.plan
    assert contract.provenance.data == (
        f"UrbanSound8K folds 1, 3, mean of the weights of 2 runs: seed 5, weights {hashes[0][:12]}; "
        f"seed 6, weights {hashes[1][:12]}"
    )
    assert contract.provenance.seed == record.seed == 5
    assert contract.operation is None


def test_the_test_folds_are_scored_with_the_mean(runs: Runs) -> None:
    record, contract = read_run(runs.mean), load_network(runs.mean / FILE_NAME)[1]
    [score] = record.scores
    assert contract.scores == record.scores
    assert (score.tested_on, score.clips) == ("UrbanSound8K fold 2", 10)
    assert score.trained_on == "UrbanSound8K folds 1, 3, mean of the weights of 2 runs"
    assert f"UrbanSound8K fold 2: accuracy {score.accuracy:.3f}" in runs.printed
    before = read_run(runs.one)
    assert [clip.clip for clip in record.held_out] == [clip.clip for clip in before.held_out]
    assert record.held_out != before.held_out
    assert (runs.mean / "confusion.png").is_file()


def test_a_mean_is_used_as_a_run_is(runs: Runs, tiny_recipe: Recipe) -> None:
    first = open_finished(runs.one)
    assert read_scores((runs.mean,), first.recipe, first.plan.labels)[0].scores == read_run(runs.mean).scores
    assert open_network(runs.mean).contract.weights_sha256 == open_finished(runs.mean).contract.weights_sha256
    hard = msgspec.structs.replace(tiny_recipe, teaching=TEACHING, hard_views=HardViews(weight=3.0, score=0.3))
    earlier = open_earlier_network(runs.mean, hard, first.plan)
    assert earlier is not None
    assert earlier.contract.weights_sha256 == open_network(runs.mean).contract.weights_sha256


def test_a_mean_takes_over_scores_and_thresholds_of_other_runs(runs: Runs, tmp_path: Path) -> None:
    options = ["--data", runs.data, "--scores-from", runs.mean, "--name", "urban", "--out", tmp_path / "out"]
    command(runs.one, runs.two, *options)
    contract = load_network(tmp_path / "out" / FILE_NAME)[1]
    assert contract.name == "urban"
    assert contract.scores == read_run(tmp_path / "out").scores + read_run(runs.mean).scores


def test_a_mean_cannot_be_resumed(runs: Runs, tiny_recipe: Recipe) -> None:
    recipe = msgspec.structs.replace(tiny_recipe, epochs=1)
    with pytest.raises(ConfigError, match="is the mean of several runs, which cannot be resumed; choose another --out"):
        run_session(setup_on_folds(runs.data, recipe, runs.mean), True, SILENT)


def test_a_folder_that_holds_a_run_is_not_overwritten(runs: Runs) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint.pt exists already; choose another --out"):
        command(runs.one, runs.two, "--data", runs.data, "--out", runs.two)


def test_test_folds_need_the_data_of_the_runs(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hold back fold 2, on which the mean is scored; give --data"):
        command(runs.one, runs.two, "--out", tmp_path / "out")
    write_data(tmp_path / "data", folds=(1, 2, 3))
    (tmp_path / "data" / "audio" / "fold2" / "200-0-0-0.wav").unlink()
    with pytest.raises(ConfigError, match=r"9 held-out clips and negatives, .* 1 of the runs' 10 are missing"):
        command(runs.one, runs.two, "--data", tmp_path / "data", "--out", tmp_path / "out")


def test_a_run_that_is_not_finished_is_refused(runs: Runs, tmp_path: Path) -> None:
    state = torch.load(runs.two / FILE_NAME, weights_only=True)
    torch.save(state | {"epoch": 0, "history": []}, tmp_path / FILE_NAME)
    with pytest.raises(ConfigError, match="ended after epoch 0 of 1; finish that run with --resume"):
        command(runs.one, tmp_path, "--out", tmp_path / "out")
    torch.save(state, tmp_path / FILE_NAME)
    with pytest.raises(DataError, match="No finished run in"):
        command(runs.one, tmp_path, "--data", runs.data, "--out", tmp_path / "out")


def check_refused(runs: Sequence[FinishedRun], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        refuse_differences(runs)


def test_runs_of_other_recipes_or_data_are_refused_with_what_differs(runs: Runs) -> None:
    one, two = runs.finished
    recipe = msgspec.structs.replace(two.recipe, batch_clips=9)
    check_refused((one, replace(two, recipe=recipe)), r"two differs from .*one in batch_clips \(9, not 8\)")
    features = msgspec.structs.replace(two.recipe.features, n_mels=20)
    recipe = msgspec.structs.replace(two.recipe, features=features)
    check_refused((one, replace(two, recipe=recipe)), "in features; runs of one recipe on equal data")
    for name, value, shown in (
        ("test_folds", (1,), r"test_folds \(\(1,\), not \(2,\)\)"),
        ("clips_sha256", "0", "clips_sha256; runs of one recipe"),
        ("labels", ("a",), "labels; runs of one recipe"),
    ):
        plan = msgspec.structs.replace(two.plan, **{name: value})
        check_refused((one, replace(two, plan=plan)), f"in {shown}")


def test_runs_whose_views_were_drawn_by_other_networks_have_a_mean(runs: Runs) -> None:
    one, two = runs.finished
    refuse_differences((one, replace(two, plan=msgspec.structs.replace(two.plan, hard_from="0" * 64))))


def test_one_run_equal_weights_a_mean_and_own_classes_are_refused(runs: Runs) -> None:
    one, two = runs.finished
    check_refused((one,), "1 run is given; two or more were expected")
    check_refused((one, two, one), "have equal weights; give runs of different seeds")
    check_refused((one, open_finished(runs.mean)), "mean is the mean of several runs itself; give those runs instead")
    own = replace(two, plan=msgspec.structs.replace(two.plan, train_folds=()))
    check_refused((one, own), "two is a run of classes of its own")


def test_runs_without_test_folds_need_no_data(runs: Runs, tmp_path: Path) -> None:
    for folder in (runs.one, runs.two):
        out = tmp_path / folder.name
        out.mkdir()
        plan = msgspec.structs.replace(open_finished(folder).plan, train_folds=(1, 2, 3), test_folds=())
        torch.save(torch.load(folder / FILE_NAME, weights_only=True) | {"plan": plan_text(plan)}, out / FILE_NAME)
        record = msgspec.structs.replace(read_run(folder), plan=plan, scores=(), held_out=())
        (out / "run.json").write_bytes(msgspec.json.encode(record))
    command(tmp_path / "one", tmp_path / "two", "--out", tmp_path / "out")
    contract = load_network(tmp_path / "out" / FILE_NAME)[1]
    assert contract.scores == read_run(tmp_path / "out").scores == ()
    assert set(contract.thresholds.values()) == {0.5}


def plan_text(plan: msgspec.Struct) -> str:
    return msgspec.json.encode(plan).decode()
