"""Models with a second output for tags."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from soundwatch.daemon.config.config import Config, DetectionConfig, ModelConfig
from soundwatch.daemon.core.errors import ConfigError, ModelError
from soundwatch.daemon.core.model.contract import CONTRACT_KEY, encode_contract
from soundwatch.daemon.core.records.window import Features
from soundwatch.daemon.inference.classifier import classify_windows, load_classifier_file
from soundwatch.daemon.inference.io_binding import BoundSession
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.inference.providers import CPU
from support.band_model import TAGGED_CONTRACT, write_band_model
from support.fakes import SMALL_SPEC

MEL_DB = np.random.default_rng(5).uniform(-60, 0, (5, *SMALL_SPEC.input_shape)).astype(np.float32)
WINDOWS = [Features(mel_db, 0, SMALL_SPEC.window_samples, complete=True) for mel_db in MEL_DB]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_band_model(tmp_path / "bands.onnx", TAGGED_CONTRACT)


def test_scores_have_tags_and_classes(model: Path) -> None:
    scores = classify_windows(load_classifier_file(model), WINDOWS)
    for window in scores:
        assert (window.labels, window.tags) == (TAGGED_CONTRACT.labels, TAGGED_CONTRACT.tags)
        low, high = window.values.tolist()
        np.testing.assert_allclose(window.tag_values[[0, 1, 3]], [low, high, 1 - low], atol=1e-6)


def config_of(model: Path, *tags: str) -> Config:
    return Config(model=ModelConfig(file=str(model)), detection=DetectionConfig(tags=tags))


def test_tags_that_are_classes_are_scored_as_such(model: Path) -> None:
    plain = classify_windows(load_classifier(config_of(model)), WINDOWS)
    scores = classify_windows(load_classifier(config_of(model, "glass", "hum")), WINDOWS)
    for window, before in zip(scores, plain, strict=True):
        assert window.labels == ("low", "high", "glass", "hum")
        np.testing.assert_array_equal(window.values, [*before.values, before.tag_values[3], before.tag_values[0]])
        np.testing.assert_array_equal(window.tag_values, before.tag_values)
    with pytest.raises(ConfigError, match="did you mean glass"):
        load_classifier(config_of(model, "glas"))


def test_bound_buffers_hold_both_outputs(model: Path) -> None:
    session = onnxruntime.InferenceSession(model, providers=[CPU])
    bound = BoundSession(session, SMALL_SPEC.input_shape, {"logits": 2, "tag_scores": 4}, "cpu")
    wanted = np.concatenate(session.run(["logits", "tag_scores"], {"mel_db": MEL_DB}), axis=1)
    np.testing.assert_allclose(bound(MEL_DB), wanted, rtol=1e-5)


@pytest.mark.parametrize("tags", [(), ("hum", "whistle", "speech")])
def test_a_file_whose_tags_are_not_those_of_its_contract_is_refused(model: Path, tags: tuple[str, ...]) -> None:
    proto = onnx.load(model)
    contract = msgspec.structs.replace(TAGGED_CONTRACT, tags=tags)
    onnx.helper.set_model_props(proto, {CONTRACT_KEY: encode_contract(contract)})
    onnx.save(proto, model)
    with pytest.raises(ModelError, match=r"one output were expected|and 3 tags, so"):
        load_classifier_file(model)


def test_tag_scores_beyond_0_to_1_are_refused(model: Path) -> None:
    proto = onnx.load(model)
    node = next(node for node in proto.graph.node if node.op_type == "Sigmoid")
    node.op_type = "Identity"
    onnx.save(proto, model)
    with pytest.raises(ModelError, match=r"gave tag scores of .* 0 to 1 were expected"):
        load_classifier_file(model).classify(MEL_DB)


class _Tagged(torch.nn.Module):
    def forward(self, mel_db: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        means = mel_db.mean(dim=(2, 3))
        return means.repeat(1, 2), torch.sigmoid(means).repeat(1, 4)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_torchscript_file_gives_two_tensors(tmp_path: Path) -> None:
    path = tmp_path / "m.ts"
    torch.jit.save(torch.jit.script(_Tagged()), path, _extra_files={CONTRACT_KEY: encode_contract(TAGGED_CONTRACT)})
    scores = load_classifier_file(path, "cpu").classify(MEL_DB)
    assert scores.shape == (5, 6)
