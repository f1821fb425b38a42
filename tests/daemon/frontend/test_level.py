"""Levels in dBFS."""

from __future__ import annotations

import numpy as np
import pytest

from soundwatch.daemon.core.records.window import Window
from soundwatch.daemon.frontend.window import level_dbfs
from support.fakes import tone


def window_of(samples: np.ndarray, heard: int | None = None) -> Window:
    return Window(samples, 0, samples.shape[1] if heard is None else heard, complete=True)


def test_a_full_scale_sine_reads_three_decibels_below_a_full_scale_square() -> None:
    assert level_dbfs(window_of(tone(1000, 1, amplitude=1.0))) == pytest.approx(-3.0103, abs=1e-3)
    assert level_dbfs(window_of(np.ones((2, 100), np.float32))) == pytest.approx(0)


def test_digital_silence_has_no_level() -> None:
    assert level_dbfs(window_of(np.zeros((1, 100), np.float32))) is None


def test_samples_after_the_end_do_not_count() -> None:
    samples = np.concatenate([np.ones((1, 100)), np.zeros((1, 300))], axis=1).astype(np.float32)
    assert level_dbfs(window_of(samples, heard=100)) == pytest.approx(0)
