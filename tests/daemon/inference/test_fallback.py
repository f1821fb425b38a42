"""An accelerator that fails or hangs in mid-run."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from soundwatch.daemon.inference.classifier import LoadedModel, log_fields
from soundwatch.daemon.inference.fallback import FallbackNetwork
from soundwatch.daemon.inference.opened_model import OpenedModel
from soundwatch.daemon.inference.providers import CPU, CUDA
from support.fakes import SMALL_CONTRACT, SMALL_SPEC

Array = NDArray[np.float32]
MEL_DB = np.zeros((3, *SMALL_SPEC.input_shape), np.float32)


def on_cpu(mel_db: Array) -> Array:
    return np.full((len(mel_db), 2), 7, np.float32)


def on_card(mel_db: Array) -> Array:
    return np.full((len(mel_db), 2), 8, np.float32)


def refuse(_: Array) -> Array:
    raise RuntimeError("CUDA failure 719: unspecified launch failure")


def not_finite(mel_db: Array) -> Array:
    return np.full((len(mel_db), 2), np.nan, np.float32)


def test_a_card_that_works_is_used() -> None:
    network = FallbackNetwork(CUDA, on_card, CPU, on_cpu)
    assert (network(MEL_DB) == 8).all()
    assert (network.provider, network.failure) == (CUDA, None)


@pytest.mark.parametrize(
    ("broken", "reason"), [(refuse, "CUDA failure 719"), (not_finite, "not a finite number")], ids=["fails", "nan"]
)
def test_the_windows_of_a_card_that_fails_are_computed_on_the_processor(broken: object, reason: str) -> None:
    assert callable(broken)
    network = FallbackNetwork(CUDA, broken, CPU, on_cpu)
    model = LoadedModel(Path("small.onnx"), OpenedModel(SMALL_CONTRACT, CUDA, network))
    assert model.provider == CUDA
    assert model.classify(MEL_DB).shape == (3, 2)
    assert model.provider == CPU
    assert reason in str(log_fields(model)["obstacle"])


def test_a_card_that_hangs_is_given_up_and_never_called_again() -> None:
    released, calls = threading.Event(), []

    def hang(mel_db: Array) -> Array:
        calls.append(len(mel_db))
        released.wait()
        return on_card(mel_db)

    network = FallbackNetwork(CUDA, hang, CPU, on_cpu, hung_s=0.1)
    assert (network(MEL_DB) == 7).all()
    assert (network(MEL_DB) == 7).all()
    assert calls == [3]
    assert "gave no result for 0.1 s" in str(network.failure)
    released.set()


def test_two_threads_get_their_own_logits() -> None:
    network = FallbackNetwork(CUDA, lambda mel_db: mel_db[:, 0, 0, :2].copy(), CPU, on_cpu)
    wrong: list[float] = []

    def classify(value: float) -> None:
        mel_db = np.full((2, *SMALL_SPEC.input_shape), value, np.float32)
        wrong.extend(value for _ in range(200) if not (network(mel_db) == value).all())

    threads = [threading.Thread(target=classify, args=(value,)) for value in (1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
