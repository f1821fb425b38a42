"""One network's scores in torch, TorchScript, ONNX Runtime and the daemon: 1e-3 on every sound, 1e-2 in 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from rich.console import Console

from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.inference.classifier import SHIPPED_MODELS, load_classifier_file, resolve_model
from soundwatch.export.exporter import export_checkpoint, verify_file
from soundwatch.export.formats import SUFFIXES, to_onnx
from soundwatch.export.parity import Variant, compare_variants, eager_scorer, file_variants, score_limit_of, torch_mel
from soundwatch.export.probes import probes
from soundwatch.training.model.checkpoint import load_network
from soundwatch.training.model.network import ExampleNormalisation
from soundwatch.training.model.recipe_file import load_recipe
from support.checkpoint_factory import contract_of, write_checkpoint
from support.signal_factory import SIGNALS, make, real_clips

QUIET = Console(quiet=True)


@pytest.fixture(scope="module", params=["tutorial", "urban"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe's random network as a checkpoint and in both formats."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = write_checkpoint(folder / "checkpoint.pt", load_recipe(request.param))
    export_checkpoint(checkpoint, list(SUFFIXES), folder, None, QUIET)
    return folder


def compare_all(run: Path, sounds: dict[str, Samples]) -> None:
    """Every variant of both files against eager torch."""
    network, contract = load_network(run / "checkpoint.pt")
    reference = Variant("torch", torch_mel(contract.features), eager_scorer(network, contract.activation))
    for backend, suffix in SUFFIXES.items():
        variants = file_variants(run / f"{contract.name}{suffix}", backend, contract.features)
        runnable = [variant for variant in variants if isinstance(variant, Variant)]
        for difference in compare_variants(reference, runnable, sounds):
            assert difference.passed, difference


@pytest.mark.slow
def test_every_variant_gives_equal_scores_for_synthetic_sounds(run: Path) -> None:
    _, contract = load_network(run / "checkpoint.pt")
    compare_all(run, {name: make(name, contract.features) for name in SIGNALS})


@pytest.mark.slow
@pytest.mark.data
def test_every_variant_gives_equal_scores_for_real_clips(run: Path, shared_data: Path) -> None:
    _, contract = load_network(run / "checkpoint.pt")
    compare_all(run, {path.name: probes(contract.features, path)["clip"] for path in real_clips(shared_data)})


@pytest.mark.slow
def test_onnx_runtime_is_accurate_for_windows_at_the_decibel_minimum() -> None:
    recipe = load_recipe("tutorial")
    network = ExampleNormalisation(recipe.features.normalisation_floor_db)
    content = to_onnx(network.eval(), contract_of(recipe, network))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    shape = (1, *recipe.features.input_shape)
    mel_db = np.where(rng.random(shape) < 0.1, rng.normal(0, 15, shape), -56.123).astype(np.float32)
    exact = (mel_db - mel_db.mean(dtype=np.float64)) / mel_db.std(dtype=np.float64)
    np.testing.assert_allclose(session.run(None, {"mel_db": mel_db})[0], exact, atol=1e-5)


@pytest.fixture(params=SHIPPED_MODELS)
def shipped(request: pytest.FixtureRequest) -> Path:
    try:
        return resolve_model(request.param)
    except ModelError:
        pytest.skip(f"the model {request.param} is not shipped yet")


@pytest.mark.slow
def test_a_shipped_model_is_proven(shipped: Path) -> None:
    verify_file(shipped, "auto", None, None, QUIET).raise_if_failed()


@pytest.mark.data
def test_a_shipped_model_gives_equal_scores_for_real_clips(shipped: Path, shared_data: Path) -> None:
    contract = load_classifier_file(shipped, "cpu").contract
    spec, limit = contract.features, score_limit_of(contract)
    reference, *variants = file_variants(shipped, "onnx", spec)
    assert isinstance(reference, Variant)
    sounds = {path.name: probes(spec, path)["clip"] for path in real_clips(shared_data)}
    runnable = [variant for variant in variants if isinstance(variant, Variant)]
    for difference in compare_variants(reference, runnable, sounds, limit):
        assert difference.passed, difference
