"""Sounds that front ends are compared on, and some real clips."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples
from soundwatch.export.probes import fit_channels, probes

Signal = NDArray[np.floating]
SEED = 1


def seconds(spec: FeatureSpec) -> Signal:
    """Time in seconds of each sample of one window."""
    time_s: Signal = np.arange(spec.window_samples) / spec.rate_hz
    return time_s


def sine(spec: FeatureSpec, frequency_hz: float, amplitude: float = 0.5) -> Signal:
    samples: Signal = amplitude * np.sin(2 * np.pi * frequency_hz * seconds(spec))
    return samples


def white(spec: FeatureSpec, amplitude: float = 0.1) -> Signal:
    return amplitude * np.random.default_rng(SEED).standard_normal((spec.channels, spec.window_samples))


def pink(spec: FeatureSpec) -> Signal:
    spectrum = np.fft.rfft(white(spec))
    spectrum[:, 1:] /= np.sqrt(np.arange(1, spectrum.shape[1]))
    spectrum[:, 0] = 0
    noise = np.fft.irfft(spectrum, spec.window_samples)
    samples: Signal = 0.5 * noise / np.abs(noise).max()
    return samples


def unequal(spec: FeatureSpec) -> Signal:
    """A whisper on the left, a roar on the right."""
    return np.stack([sine(spec, 1000, 1e-4), sine(spec, 300, 1.0)])


# What fills every mel band, or none: torch's float32 spectra are good enough to compare with.
BROADBAND: dict[str, Callable[[FeatureSpec], Signal]] = {
    "white noise": white,
    "pink noise": pink,
    "digital silence": lambda spec: np.zeros(spec.window_samples),
    "very quiet noise": lambda spec: white(spec, 1e-5),
    "very quiet tone": lambda spec: sine(spec, 1000, 1e-5),
    "constant": lambda spec: np.full(spec.window_samples, 0.5),
    "impulse": lambda spec: probes(spec)["impulse"],
    "made clip": lambda spec: probes(spec)["clip"],
}

# What leaves bands empty, 70 dB and more below its peak, where only rounding is heard.
TONAL: dict[str, Callable[[FeatureSpec], Signal]] = {
    **{f"tone of {hz} Hz": partial(sine, frequency_hz=hz) for hz in (50, 440, 1000, 4321.5, 10000)},
    "tone on a bin": lambda spec: sine(spec, 100 * spec.rate_hz / spec.n_fft),
    "full-scale tone": lambda spec: sine(spec, 997, 1.0),
    "clipped tone": lambda spec: np.clip(sine(spec, 440, 5.0), -1, 1),
    "chirp": lambda spec: probes(spec)["chirp"],
    "unequal channels": unequal,
    "quiet left, loud right": lambda spec: probes(spec)["quiet left, loud right"],
}

SIGNALS = BROADBAND | TONAL


def make(name: str, spec: FeatureSpec) -> Samples:
    """The signal of this name as one window (C, S)."""
    return fit_channels(SIGNALS[name](spec), spec)


def real_clips(shared_data: Path) -> list[Path]:
    """A clip of each class, and some sounds that are none of them."""
    fold = sorted((shared_data / "urbansound8k" / "audio" / "fold1").iterdir())
    of_class = {path.name.split("-")[1]: path for path in fold}
    strange = [sorted(kind.iterdir())[0] for kind in sorted((shared_data / "negatives" / "esc10").iterdir())]
    return [*of_class.values(), *strange]
