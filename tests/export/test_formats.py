from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from soundwatch.daemon.core.errors import ContractError, ProviderError
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.export.formats import to_onnx, to_torchscript
from soundwatch.training.model.checkpoint import load_network
from support.checkpoint_factory import SMALL_RECIPE, contract_of, random_network


def test_both_formats_carry_the_checkpoints_contract(checkpoint: Path, exported: Path) -> None:
    _, contract = load_network(checkpoint)
    for name in ("small.onnx", "small.ts"):
        assert load_classifier_file(exported / name).contract == contract


def test_both_formats_take_any_number_of_windows(exported: Path) -> None:
    mel_db = np.random.default_rng(1).normal(-40, 10, (5, 2, 16, 33)).astype(np.float32)
    onnx_scores = load_classifier_file(exported / "small.onnx").classify(mel_db)
    assert onnx_scores.shape == (5, 10)
    np.testing.assert_allclose(load_classifier_file(exported / "small.ts").classify(mel_db), onnx_scores, atol=1e-6)


def test_the_torchscript_model_reports_its_provider(exported: Path) -> None:
    expected = "TorchScript-CUDA" if torch.cuda.is_available() else "TorchScript-CPU"
    assert load_classifier_file(exported / "small.ts").provider == expected
    assert load_classifier_file(exported / "small.ts", "cpu").provider == "TorchScript-CPU"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_torchscript_on_cuda_is_refused_without_a_device(exported: Path) -> None:
    with pytest.raises(ProviderError, match="torch sees no CUDA device"):
        load_classifier_file(exported / "small.ts", "cuda")


def test_torchscript_takes_read_only_arrays_and_refuses_others_in_plain_words(exported: Path) -> None:
    mel_db = np.zeros((1, 2, 16, 33), np.float32)
    mel_db.flags.writeable = False
    classifier = load_classifier_file(exported / "small.ts")
    assert np.isfinite(classifier.classify(mel_db)).all()


def test_a_torchscript_file_without_a_contract_is_refused(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.save(torch.jit.script(torch.nn.Flatten()), tmp_path / "m.ts")
    with pytest.raises(ContractError, match="TorchScript without a soundwatch contract"):
        load_classifier_file(tmp_path / "m.ts")


def test_the_same_network_gives_the_same_onnx_bytes() -> None:
    network = random_network(SMALL_RECIPE)
    contract = contract_of(SMALL_RECIPE, network)
    assert to_onnx(network, contract) == to_onnx(network, contract)


def test_the_onnx_file_has_no_data_of_the_exporting_machine(exported: Path) -> None:
    model = onnx.load(exported / "small.onnx")
    assert [entry.key for entry in model.metadata_props] == ["soundwatch.contract", "soundwatch.content_sha256"]
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert str(Path(__file__).parents[2]).encode() not in (exported / "small.onnx").read_bytes()


def test_the_contract_in_torchscript_is_an_extra_file() -> None:
    network = random_network(SMALL_RECIPE)
    content = to_torchscript(network, contract_of(SMALL_RECIPE, network))
    assert b"extra/soundwatch.contract" in content
