"""Probes for parity: silence, noise, tone, chirp, impulse, a clip, unequal channels.

Conventions: each is one window (C, S) float32 of the spec, the same on every machine and every run.
What has other than C channels goes through the daemon's channel rule.
Source: the choice follows YAMNet's `export.py`, which proves each format with the same few signals.
"""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.capture.recordings.recording import Recording
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.core.records.channels import match_channels
from soundwatch.daemon.frontend.resample import resample_clip

SEED = 15


def probes(spec: FeatureSpec, clip: Path | None = None) -> dict[str, Samples]:
    """Return the samples of each probe by name.

    Args:
        spec: The front end that they are for.
        clip: A recording whose first window is the clip; None for one made by code.

    Raises:
        SourceError: The recording cannot be read.
    """
    rng = np.random.default_rng(SEED)
    time_s = np.arange(spec.window_samples) / spec.rate_hz
    impulse = np.zeros_like(time_s)
    impulse[spec.window_samples // 2] = 1
    chirp = _chirp(time_s, spec.rate_hz)
    signals = {
        "silence": np.zeros_like(time_s),
        "noise": 0.1 * rng.standard_normal(spec.window_samples),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * time_s),
        "chirp": chirp,
        "impulse": impulse,
        "clip": _bark(time_s, rng) if clip is None else _first_window(clip, spec),
        "quiet left, loud right": np.stack([1e-3 * rng.standard_normal(spec.window_samples), chirp]),
    }
    return {name: fit_channels(signal, spec) for name, signal in signals.items()}


def fit_channels(signal: NDArray[np.floating], spec: FeatureSpec) -> Samples:
    """Return a signal (S,) or (C', S) at the rate of the spec as samples (C, S)."""
    samples = np.atleast_2d(signal).astype(np.float32)
    return np.ascontiguousarray(match_channels(samples, spec.channels))


def _chirp(time_s: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """Return a sweep at half scale from 20 Hz to 0.9 times the Nyquist frequency."""
    slope = (0.45 * rate_hz - 20) / time_s[-1]  # Hz a second
    return np.asarray(0.5 * np.sin(2 * np.pi * (20 + slope / 2 * time_s) * time_s))


def _bark(time_s: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return three synthetic barks: bursts of falling harmonics over faint noise."""
    bark = 0.003 * rng.standard_normal(time_s.size)
    for start_s in time_s[-1] * np.array([0.1, 0.3, 0.65]):
        since_s = np.clip(time_s - start_s, 0, None)
        envelope = since_s * np.exp(-25 * since_s)
        for harmonic in range(1, 9):
            bark += 12 / harmonic * envelope * np.sin(2 * np.pi * harmonic * (520 - 300 * since_s) * since_s)
    return np.asarray(np.clip(bark, -1, 1))


def _first_window(path: Path, spec: FeatureSpec) -> NDArray[np.floating]:
    """Return the first window (C, S) of a recording, zero-padded."""
    recording = Recording(path.stem, path, "fast", 0)
    wanted = spec.window_samples * recording.info.rate_hz // spec.rate_hz + 1
    blocks = takewhile(lambda block: block.first_sample < wanted, recording.blocks())
    samples = np.concatenate([block.samples for block in blocks], axis=1)
    samples = resample_clip(samples, recording.info.rate_hz, spec)[:, : spec.window_samples]
    return np.pad(samples, ((0, 0), (0, spec.window_samples - samples.shape[1])))
