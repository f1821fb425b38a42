"""Models by the configuration: pin, provider, and one path for a required card."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundwatch.daemon.config.config import Config, ModelConfig
from soundwatch.daemon.core.errors import ConfigError, ProviderError
from soundwatch.daemon.inference.loading import load_classifier, load_local_classifier, requested_provider
from support.model_files import write_onnx


def test_a_pin_is_compared_with_the_tensors_and_the_graph_and_not_with_the_contract(tmp_path: Path) -> None:
    path = str(write_onnx(tmp_path / "m.onnx"))
    model = load_local_classifier(ModelConfig(file=path))
    assert load_classifier(Config(model=ModelConfig(file=path, sha256=model.content_sha256[:16].upper())))
    for pin in (model.contract.weights_sha256, "00"):
        with pytest.raises(ConfigError, match=f"model.sha256 pins {pin}, and the tensors and graph of .* have"):
            load_classifier(Config(model=ModelConfig(file=path, sha256=pin)))


def test_a_required_card_is_the_provider_cuda() -> None:
    assert requested_provider(ModelConfig()) == "auto"
    assert requested_provider(ModelConfig(provider="cpu")) == "cpu"
    for provider in ("auto", "cuda", "CUDAExecutionProvider"):
        assert requested_provider(ModelConfig(provider=provider, require_cuda=True)) == "cuda"
    for provider in ("cpu", "OpenVINOExecutionProvider"):
        with pytest.raises(ProviderError, match="remove one of the two"):
            requested_provider(ModelConfig(provider=provider, require_cuda=True))
