"""Bound buffers and fixed shapes, through the processor's provider: the same code, without a card.

What needs a card, copies to it and locked pages, is in `test_a_gpu_gives_the_cpus_scores`.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.inference import io_binding
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.inference.io_binding import BATCHES, BoundSession, split_into_batches
from soundwatch.daemon.inference.providers import CPU, CUDA, CardOptions, unavailable_reason
from support.fakes import SMALL_SPEC
from support.model_files import write_onnx

NO_CUDA = unavailable_reason(CUDA, CardOptions())


class Counted:
    """A session that notes the shapes it was run with."""

    def __init__(self, path: Path) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=[CPU])
        self.runs = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.session, name)

    def run_with_iobinding(self, binding: object) -> None:
        self.runs += 1
        self.session.run_with_iobinding(binding)


def test_any_number_of_windows_gets_its_own_logits_in_order(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(write_onnx(tmp_path / "m.onnx"), providers=[CPU])
    bound = BoundSession(session, SMALL_SPEC.input_shape, {"logits": 2}, "cpu")
    rng = np.random.default_rng(3)
    for windows in (1, 2, 4, 5, 16, 17, 40, 3, 1):  # a small batch after a large one: stale rows must not show
        mel_db = rng.normal(-40, 15, (windows, *SMALL_SPEC.input_shape)).astype(np.float32)
        wanted = session.run(None, {"mel_db": mel_db})[0]
        np.testing.assert_allclose(bound(mel_db), wanted, rtol=1e-6)


def test_returned_scores_are_not_overwritten_by_the_next_batch(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(write_onnx(tmp_path / "m.onnx"), providers=[CPU])
    bound = BoundSession(session, SMALL_SPEC.input_shape, {"logits": 2}, "cpu")
    loud, quiet = (np.full((1, *SMALL_SPEC.input_shape), level_db, np.float32) for level_db in (-10, -70))
    first = bound(loud)
    kept = first.copy()
    bound(quiet)
    np.testing.assert_array_equal(first, kept)


def test_every_shape_is_run_before_the_first_window_comes(tmp_path: Path) -> None:
    session = Counted(write_onnx(tmp_path / "m.onnx"))
    bound = BoundSession(session, SMALL_SPEC.input_shape, {"logits": 2}, "cpu")
    assert session.runs == 2 * len(BATCHES)
    bound(np.zeros((5, *SMALL_SPEC.input_shape), np.float32))
    assert session.runs == 2 * len(BATCHES) + 1


@given(windows=st.integers(1, 100))
def test_a_batch_is_filled_up_to_the_next_shape_and_to_no_larger_one(windows: int) -> None:
    batches = split_into_batches(windows)
    assert set(batches) <= set(BATCHES)
    assert 0 <= sum(batches) - windows < max(BATCHES)
    assert len(batches) == -(-windows // max(BATCHES))
    smaller = [batch for batch in BATCHES if batch < batches[-1]]
    assert not smaller or sum(batches[:-1]) + smaller[-1] < windows


def test_pages_that_cannot_be_locked_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> object:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    io_binding._lock(np.zeros(3, np.float32))


@pytest.mark.skipif(
    unavailable_reason(CUDA, CardOptions()) is not None,
    reason=f"no CUDA here: {unavailable_reason(CUDA, CardOptions())}",
)
def test_a_gpu_gives_the_cpus_scores() -> None:
    mel_db = np.random.default_rng(3).normal(-40, 15, (21, 1, 64, 201)).astype(np.float32)
    on_card, on_cpu = load_classifier_file("urban", "cuda"), load_classifier_file("urban", "cpu")
    assert on_card.provider == CUDA
    np.testing.assert_allclose(on_card.classify(mel_db), on_cpu.classify(mel_db), atol=1e-3)
