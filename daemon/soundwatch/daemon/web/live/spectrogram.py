"""Encodes the new spectrogram columns of a window for the streams.

Conventions: in, decibels (C, M, T); out, (T', M) of one byte each, `MIN_DB` + byte * `STEP_DB` decibels, lowest band
first, each the mean over channels and the maximum over the frames of `COLUMN_S` or more.
"""

from __future__ import annotations

import base64
from typing import Final

import msgspec
import numpy as np

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.core.time.clock import format_utc

MIN_DB: Final = -90.0
STEP_DB: Final = 0.5
COLUMN_S: Final = 0.04


class ColumnsLine(msgspec.Struct, frozen=True, kw_only=True):
    """The latest columns of a spectrogram, up to `time`; `data` is base64 of the columns, `bands` bytes each."""

    type: str = "columns"
    time: str
    source: str
    columns: int
    bands: int
    column_s: float
    min_db: float
    step_db: float
    data: str


def columns_line(window: WindowResult, spec: FeatureSpec, previous_end_sample: int | None) -> ColumnsLine | None:
    """Encode the columns of a window after the previous window.

    Args:
        window: Result of the window.
        spec: Front end.
        previous_end_sample: End of the previous window of the source; None if there was none.

    Returns:
        None if the window has no features.
    """
    features = window.features
    if features is None:
        return None
    new_samples = spec.window_hop_samples
    if previous_end_sample is not None:
        new_samples = min(max(features.end_sample - previous_end_sample, 0), spec.window_samples)
    pool = max(1, round(COLUMN_S * spec.rate_hz / spec.hop_samples))
    columns = new_samples // (pool * spec.hop_samples)
    valid_frames = (features.end_sample - features.first_sample) // spec.hop_samples
    mel_db = features.mel_db[:, :, max(0, valid_frames - columns * pool) : valid_frames].mean(axis=0)  # (M, T)
    columns = mel_db.shape[1] // pool
    pooled = mel_db[:, : columns * pool].reshape(spec.n_mels, columns, pool).max(axis=2).T  # (T', M)
    data = np.clip(np.round((pooled - MIN_DB) / STEP_DB), 0, 255).astype(np.uint8)
    return ColumnsLine(
        time=format_utc(window.end_unix_ns),
        source=window.source,
        columns=columns,
        bands=spec.n_mels,
        column_s=pool * spec.hop_samples / spec.rate_hz,
        min_db=MIN_DB,
        step_db=STEP_DB,
        data=base64.b64encode(data.tobytes()).decode(),
    )
