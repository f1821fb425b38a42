"""A window's new columns of the spectrogram."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest

from soundwatch.daemon.core.records.block import read_only
from soundwatch.daemon.web.live.spectrogram import MIN_DB, STEP_DB, ColumnsLine, columns_line
from support.fakes import SMALL_SPEC
from support.web_harness import reading


def decoded(line: ColumnsLine | None) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    assert line is not None
    data = np.frombuffer(base64.b64decode(line.data), np.uint8)
    return MIN_DB + STEP_DB * data.reshape(line.columns, line.bands).astype(float)


def test_a_window_after_another_gives_only_its_new_columns() -> None:
    first, second = reading(1, features_wanted=True), reading(2, features_wanted=True)
    assert first.features is not None
    line = columns_line(second, SMALL_SPEC, first.features.end_sample)
    assert line is not None
    assert line.columns * line.column_s == pytest.approx(SMALL_SPEC.window_hop_samples / SMALL_SPEC.rate_hz, abs=0.04)
    assert decoded(line).shape == (line.columns, SMALL_SPEC.n_mels)


def test_missed_columns_are_sent_as_far_as_the_window_has_them() -> None:
    line = columns_line(reading(100, features_wanted=True), SMALL_SPEC, 0)
    assert line is not None
    assert line.columns * line.column_s == pytest.approx(SMALL_SPEC.window_ms / 1000, abs=0.04)


def test_decibels_come_back_within_half_a_step_and_never_out_of_range() -> None:
    base = reading(1, features_wanted=True)
    assert base.features is not None
    mel_db = np.linspace(-150, 60, base.features.mel_db.size, dtype=np.float32).reshape(base.features.mel_db.shape)
    line = columns_line(replace(base, features=replace(base.features, mel_db=read_only(mel_db))), SMALL_SPEC, None)
    shown = decoded(line)
    assert shown.min() >= MIN_DB
    assert shown.max() <= MIN_DB + 255 * STEP_DB
    assert np.all(np.diff(shown, axis=1) >= 0), "lowest band first"


def test_a_reading_without_features_has_no_picture() -> None:
    assert columns_line(reading(1), SMALL_SPEC, None) is None
