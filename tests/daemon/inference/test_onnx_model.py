from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import ModelError, ProviderError
from soundwatch.daemon.inference import onnx_model, providers
from soundwatch.daemon.inference.classifier import load_classifier_file, log_fields
from soundwatch.daemon.inference.onnx_model import select_fastest
from soundwatch.daemon.inference.opened_model import OpenedModel
from soundwatch.daemon.inference.providers import CPU, CUDA, CardOptions
from support.fakes import SMALL_CONTRACT
from support.model_files import write_onnx

Mels = NDArray[np.float32]


class Clock:
    """A clock that the networks under test move on."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def file(provider: str, clock: Clock, batch_ms: Iterator[float] | float, off: float = 0.0) -> OpenedModel:
    """A file whose network takes so long for a batch, and whose logits are so far from the mean."""

    def run(mel_db: Mels) -> Mels:
        clock.ns += int(1e6 * (batch_ms if isinstance(batch_ms, float) else next(batch_ms)))
        logits: Mels = mel_db.mean(axis=(1, 2, 3))[:, None] + np.float32(off)
        return logits

    return OpenedModel(SMALL_CONTRACT, provider, run, {})


def test_the_faster_of_two_providers_is_selected_and_both_times_are_reported() -> None:
    clock = Clock()
    taken = select_fastest([file(CPU, clock, 32.0), file(CUDA, clock, 8.0)], clock)
    assert taken.provider == CUDA
    assert taken.window_ms == {CPU: 2.0, CUDA: 0.5}


def test_an_accelerator_with_other_scores_is_not_selected() -> None:
    clock = Clock()
    taken = select_fastest([file(CPU, clock, 32.0), file(CUDA, clock, 1.0, off=0.02)], clock)
    assert (taken.provider, taken.window_ms) == (CPU, {CPU: 2.0})
    assert "its logits differ from the processor's by 0.02" in taken.unused_providers[CUDA]


def test_an_accelerator_that_is_too_slow_or_fails_is_not_taken_with_the_reason() -> None:
    def fail(_: Mels) -> Mels:
        raise ModelError("out of memory")

    clock = Clock()
    failing = OpenedModel(SMALL_CONTRACT, "DmlExecutionProvider", fail)
    taken = select_fastest([file(CPU, clock, 32.0), file(CUDA, clock, 24.0), failing], clock)
    assert taken.provider == CPU
    slow = f"it takes 1.5 ms for a window, {CPU} takes 2 ms"
    assert taken.unused_providers == {CUDA: slow, "DmlExecutionProvider": "out of memory"}


def test_a_slow_first_run_and_one_that_was_disturbed_count_for_nothing() -> None:
    clock = Clock()
    disturbed = iter([500.0, 90.0, 8.0, 8.0])
    assert select_fastest([file(CPU, clock, 32.0), file(CUDA, clock, disturbed)], clock).provider == CUDA


def test_without_a_rival_nothing_is_run() -> None:
    def fail(mel_db: Mels) -> Mels:
        raise AssertionError("measured")

    assert select_fastest([OpenedModel(SMALL_CONTRACT, CPU, fail, {})]).window_ms == {}


@pytest.fixture
def rival(monkeypatch: pytest.MonkeyPatch) -> Callable[[OpenedModel | Exception], None]:
    """Make CUDA seem usable, with a given result of opening it."""
    monkeypatch.setattr(providers, "cuda_unavailable_reason", lambda _: None)
    monkeypatch.setattr(providers, "_library_fault", lambda _: None)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CUDA, CPU])
    truly_open = onnx_model._open

    def open_as(result: OpenedModel | Exception) -> None:
        def opened(path: Path, content: bytes, provider: str, threads: int, card: CardOptions) -> OpenedModel:
            if provider == CPU:
                return truly_open(path, content, provider, threads, card)
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(onnx_model, "_open", opened)

    return open_as


def test_auto_continues_without_a_candidate_that_does_not_start(
    tmp_path: Path, rival: Callable[[OpenedModel | Exception], None]
) -> None:
    rival(ProviderError("a card that is full"))
    model = load_classifier_file(write_onnx(tmp_path / "m.onnx"))
    assert (model.provider, model.opened.window_ms) == (CPU, {})
    assert model.opened.unused_providers == {CUDA: "a card that is full"}
    assert log_fields(model)["unused_providers"] == f"{CUDA}: a card that is full"


def test_the_model_has_the_measurements_of_auto(
    tmp_path: Path, rival: Callable[[OpenedModel | Exception], None]
) -> None:
    path = write_onnx(tmp_path / "m.onnx")
    slow = onnx_model._open(path, path.read_bytes(), CPU, 1, CardOptions())

    def slower(mel_db: Mels) -> Mels:
        for _ in range(3):
            slow.logits(mel_db)
        return slow.logits(mel_db)

    rival(OpenedModel(slow.contract, CUDA, slower, {}))
    model = load_classifier_file(path)
    assert set(model.opened.window_ms) == {CPU, CUDA}
    assert model.provider == CPU
    assert log_fields(model)["window_ms"] == model.opened.window_ms


def test_a_provider_that_takes_the_model_but_leaves_it_to_the_processor_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "unavailable_reason", lambda *_: None)
    monkeypatch.setattr(providers, "provider_options", lambda *_: [CPU])
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CUDA, CPU])
    with pytest.raises(ProviderError, match=f"{CUDA} was requested and {CPU} runs instead"):
        load_classifier_file(write_onnx(tmp_path / "m.onnx"), "cuda")


def test_a_failing_provider_is_distinguished_from_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "unavailable_reason", lambda *_: None)
    options: dict[str, list[str | tuple[str, dict[str, str]]]] = {CPU: [CPU]}
    monkeypatch.setattr(providers, "provider_options", lambda name, _: options.get(name, [("Nonsense", {}), CPU]))
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CUDA, CPU])
    with pytest.raises(ProviderError, match=f"{CUDA} does not start: .* choose provider auto or cpu"):
        load_classifier_file(write_onnx(tmp_path / "m.onnx"), "cuda")
