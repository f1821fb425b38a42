"""A trained network learns new classes: from its checkpoint or its model file, and from no other kind of network."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from rich.console import Console
from torch import nn

from soundwatch.daemon.core.errors import ConfigError, ModelError
from soundwatch.daemon.inference.classifier import SHIPPED_MODELS, load_classifier_file, resolve_model
from soundwatch.export.exporter import export_checkpoint
from soundwatch.training.cli.train import train
from soundwatch.training.data.datasets.class_folders import split_folders
from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from soundwatch.training.fit.epochs.loop import start_run
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.setup.run_setup import RunSetup
from soundwatch.training.fit.steps.finetune import freeze_layers
from soundwatch.training.model.checkpoint import FILE_NAME, load_network, read_checkpoint
from soundwatch.training.model.network_recipe import BlockCnn, SeparableCnn
from soundwatch.training.model.pretrained import PretrainedModel, adapt_recipe, load_pretrained
from soundwatch.training.model.recipe import FineTuning, Recipe
from soundwatch.training.model.recipe_file import load_recipe
from support.checkpoint_factory import write_checkpoint
from support.labeled_folder import CLASSES, write_classes
from support.urbansound8k_folder import write_data

SILENT = Console(file=io.StringIO())
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["pooled", "blocks", "separable"])
def any_recipe(request: pytest.FixtureRequest, tiny_recipe: Recipe) -> Recipe:
    """Networks whose batch norms are folded into convolutions on export, that keep them, and that pad by layers."""
    networks = {
        "pooled": tiny_recipe.network,
        "blocks": BlockCnn(widths=(4, 8), kernels=(3, 3), stride=2, kaiming_slope=0.1),
        "separable": SeparableCnn(widths=(4, 8, 8), strides=(2, 1, 2), dropout_share=0.1),
    }
    return msgspec.structs.replace(tiny_recipe, network=networks[request.param])


def _tuning(recipe: Recipe, head_epochs: int = 1) -> Recipe:
    numbers = FineTuning(head_epochs=head_epochs, body_learning_rate_share=0.1)
    return msgspec.structs.replace(recipe, name="tuned", finetune=numbers)


class Bases:
    """Networks of UrbanSound8K's classes, each trained and exported once.

    Args:
        folder: Their folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "UrbanSound8K"
        write_data(self._data, folds=(1, 3))
        self._checkpoints: dict[str, Path] = {}
        self._models: dict[str, Path] = {}

    def checkpoint(self, recipe: Recipe) -> Path:
        """Train by a recipe."""
        if recipe.sha256 not in self._checkpoints:
            out = self._folder / recipe.sha256
            split = split_by_folds(self._data, (1, 3), ())
            run_session(RunSetup(recipe, split, (), (), (), out, CPU), False, SILENT)
            self._checkpoints[recipe.sha256] = out / FILE_NAME
        return self._checkpoints[recipe.sha256]

    def model(self, recipe: Recipe) -> Path:
        """Export that network as ONNX."""
        if recipe.sha256 not in self._models:
            out = self._folder / f"{recipe.sha256}.model"
            (self._models[recipe.sha256], _), _ = export_checkpoint(
                self.checkpoint(recipe), ["onnx"], out, None, SILENT
            )
        return self._models[recipe.sha256]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return Bases(tmp_path_factory.mktemp("bases"))


def _session(recipe: Recipe, data: Path, origin: PretrainedModel | None, out: Path) -> RunSetup:
    return RunSetup(recipe, split_folders(data, recipe.features, 0.2), (), (), (), out, CPU, origin)


def test_a_model_file_gives_the_network_that_its_checkpoint_gives(
    tmp_path: Path, bases: Bases, any_recipe: Recipe
) -> None:
    checkpoint, model = bases.checkpoint(any_recipe), bases.model(any_recipe)
    data = write_classes(tmp_path / "sounds")
    mel_db = torch.from_numpy(np.random.default_rng(1).normal(-40, 10, (3, 2, 16, 32)).astype(np.float32))
    logits = []
    for start in (checkpoint, model):
        recipe = _tuning(any_recipe)
        run = start_run(_session(recipe, data, load_pretrained(str(start), recipe), tmp_path / "run"))
        with torch.no_grad():
            logits.append(run.network.eval()(mel_db).numpy())
    assert logits[0].shape == (3, len(CLASSES))
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-4)


def test_only_the_new_head_moves_at_first_and_batch_norm_never(
    tmp_path: Path, bases: Bases, any_recipe: Recipe
) -> None:
    checkpoint = bases.checkpoint(any_recipe)
    before = load_network(checkpoint)[0].state_dict()
    recipe = _tuning(any_recipe, head_epochs=2)
    data = write_classes(tmp_path / "sounds")
    for epochs in (2, 3):
        out = tmp_path / f"{epochs} epochs"
        shorter = msgspec.structs.replace(recipe, epochs=epochs)
        origin = load_pretrained(str(checkpoint), shorter)
        run_session(_session(shorter, data, origin, out), False, SILENT)
        after = read_checkpoint(out / FILE_NAME).model
        head = {name for name in after if after[name].shape != before[name].shape}
        statistics = {name for name in after if "running" in name or "num_batches" in name}
        moved = {name for name in after.keys() - head if not torch.equal(after[name], before[name])}
        assert len(head) == 2
        assert moved == (set() if epochs == 2 else after.keys() - head - statistics)


def test_a_fine_tuned_model_names_its_base_model(tmp_path: Path, bases: Bases, tiny_recipe: Recipe) -> None:
    checkpoint = bases.checkpoint(tiny_recipe)
    data = write_classes(tmp_path / "sounds")
    recipe_file = tmp_path / "tuned.yaml"
    recipe_file.write_text(yaml.safe_dump(msgspec.to_builtins(_tuning(tiny_recipe))))
    words = ["--data", data, "--layout", "folders", "--recipe", recipe_file, "--init-from", checkpoint]
    done = CliRunner().invoke(
        train, [str(word) for word in (*words, "--out", tmp_path / "run")], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    before, contract = load_network(checkpoint)[1], load_network(tmp_path / "run" / FILE_NAME)[1]
    assert contract.labels == CLASSES
    assert contract.provenance.folds == (1, 3)
    assert f"other sounds, starting from {before.identity} (UrbanSound8K" in contract.provenance.data
    assert "your own" in contract.provenance.licence
    assert "CC BY-NC" in contract.provenance.licence
    assert contract.scores[0].trained_on == contract.provenance.data


def test_an_interrupted_fine_tuning_resumes_bit_identically(tmp_path: Path, bases: Bases, tiny_recipe: Recipe) -> None:
    recipe = _tuning(tiny_recipe)
    origin = load_pretrained(str(bases.checkpoint(tiny_recipe)), recipe)
    data = write_classes(tmp_path / "sounds")
    whole, cut = (_session(recipe, data, origin, tmp_path / name / "run") for name in ("whole", "cut"))
    run_session(whole, False, SILENT)

    class Interrupted(Console):
        def print(self, *objects: object, **_how: object) -> None:
            if str(objects[0]).startswith("epoch 2"):
                raise KeyboardInterrupt
            said.append(str(objects[0]))

    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_session(cut, False, Interrupted(file=io.StringIO()))
    assert said[-1] == "Stopped after epoch 2 of 3; the same command with --resume continues it."
    with pytest.raises(ConfigError, match="was made from other clips"):
        run_session(replace(cut, origin=None), True, SILENT)
    run_session(cut, True, SILENT)
    one, other = (read_checkpoint(session.out / FILE_NAME) for session in (whole, cut))
    assert one.contract == other.contract
    assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)


def test_another_front_end_or_network_is_refused(tmp_path: Path, bases: Bases, any_recipe: Recipe) -> None:
    checkpoint, model = bases.checkpoint(any_recipe), bases.model(any_recipe)
    recipe = _tuning(any_recipe)
    lower = msgspec.structs.replace(recipe, features=msgspec.structs.replace(recipe.features, mel_max_hz=3000))
    wider = msgspec.structs.replace(
        recipe, network=msgspec.structs.replace(recipe.network, widths=(*recipe.network.widths[:-1], 9))
    )
    for start in (checkpoint, model):
        with pytest.raises(ConfigError, match=r"another front end than recipe tuned: mel_max_hz 4000\S*, not 3000"):
            load_pretrained(str(start), lower)
        with pytest.raises(ConfigError, match=r"do not fit the network of recipe tuned.*`like:` the one .* \(tiny"):
            load_pretrained(str(start), wider)


def test_weights_that_fit_a_network_of_another_kind_are_found_out(
    tmp_path: Path, bases: Bases, tiny_recipe: Recipe
) -> None:
    model = bases.model(tiny_recipe)
    slower = msgspec.structs.replace(tiny_recipe.network, strides=(2, 1))
    with pytest.raises(ModelError, match=r"give other scores than the file itself\. Start from the checkpoint"):
        load_pretrained(str(model), msgspec.structs.replace(_tuning(tiny_recipe), network=slower))


def test_a_recipe_and_its_origin_belong_together(bases: Bases, tiny_data: Path, tiny_recipe: Recipe) -> None:
    checkpoint = bases.checkpoint(tiny_recipe)
    with pytest.raises(ConfigError, match="recipe tiny does not say how to fine-tune"):
        load_pretrained(str(checkpoint), tiny_recipe)
    with pytest.raises(ModelError, match="There is no model nowhere"):
        load_pretrained("nowhere", _tuning(tiny_recipe))
    with pytest.raises(ConfigError, match="Recipe finetune goes on from a trained network; name one"):
        CliRunner().invoke(train, ["--data", str(tiny_data), "--recipe", "finetune"], catch_exceptions=False)


def test_without_a_recipe_network_and_front_end_are_the_models(
    tmp_path: Path, bases: Bases, any_recipe: Recipe
) -> None:
    checkpoint = bases.checkpoint(any_recipe)
    data = write_classes(tmp_path / "sounds")
    words = ["--data", data, "--layout", "folders", "--init-from", checkpoint, "--epochs", 1, "--out", tmp_path / "run"]
    done = CliRunner().invoke(train, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    contract = load_network(tmp_path / "run" / FILE_NAME)[1]
    assert (contract.name, contract.features, contract.labels) == ("run", any_recipe.features, CLASSES)
    model = bases.model(any_recipe)
    with pytest.raises(ConfigError, match="was trained by recipe tiny, which is not shipped"):
        adapt_recipe(load_recipe("finetune"), str(model))


@pytest.mark.parametrize("model", sorted({*SHIPPED_MODELS} - {"urban-int8"}))
def test_the_shipped_models_can_be_started_from(model: str) -> None:
    try:
        path = resolve_model(model)
    except ModelError as error:
        pytest.skip(f"the model is not here: {error}")
    recipe = adapt_recipe(load_recipe("finetune"), model)
    assert load_pretrained(model, recipe).contract == load_classifier_file(path, "cpu").contract


def test_a_network_in_8_bit_integers_is_no_start() -> None:
    with pytest.raises(ConfigError, match=r"is in 8-bit integers\. Start from the network .* urban\.$"):
        load_pretrained("urban-int8", adapt_recipe(load_recipe("finetune"), "urban"))


def test_the_shipped_recipe_takes_the_network_of_the_recipe_that_a_model_names(tmp_path: Path) -> None:
    finetune, tutorial = load_recipe("finetune"), load_recipe("tutorial")
    assert finetune.finetune is not None
    checkpoint = write_checkpoint(tmp_path / "checkpoint.pt", tutorial)
    adapted = adapt_recipe(finetune, str(checkpoint))
    assert (adapted.features, adapted.network) == (tutorial.features, tutorial.network)
    assert (adapted.name, adapted.activation, adapted.finetune) == ("finetune", "sigmoid", finetune.finetune)


def test_freezing_leaves_the_head_free(tiny_recipe: Recipe) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 3)).train()
    numbers = FineTuning(head_epochs=1, body_learning_rate_share=0.1)
    for epoch, moves in ((1, False), (2, True)):
        freeze_layers(network, numbers, epoch)
        assert [parameter.requires_grad for parameter in network.parameters()] == [moves] * 4 + [True] * 2
        assert not network[1].training
