"""Parameters of the front end, which training, export and daemon share.

Conventions: units are in the names; derived numbers are properties and exact. A derived number that should be
whole and is not is refused at construction, with both values.
Shape alphabet: C channels, S samples, M mels, T frames.
Does not: compute features (`frontend/mel.py`).
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

from soundwatch.daemon.core.errors import ContractError

# Limits of a model file, which is untrusted: arrays of these sizes are allocated before its first run.
_MOST: Final = {"rate_hz": 384_000, "channels": 64, "window_ms": 600_000, "n_fft": 1 << 17, "n_mels": 4096}
_FLOAT32: Final = (1e-30, 1e6)  # positive numbers with which float32 neither overflows nor becomes zero
_MOST_NUMBERS: Final = 1 << 25  # in one window's samples, mel decibels or filters: 128 MB


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Parameters of the front end, from a recording's samples to the network's input.

    Attributes:
        rate_hz: Sampling rate that the signal is resampled to.
        channels: C of the network's input. A signal of C channels stays as it is; any other is
            averaged to mono and repeated C times.
        window_ms: Length of one window.
        window_hop_frames: Distance of two windows' starts in STFT frames.
        n_fft: Length of the STFT and of its periodic Hann window.
        hop_samples: Distance of two STFT frames.
        n_mels: M, the number of triangular mel filters.
        mel_min_hz: Lower edge of the first filter.
        mel_max_hz: Upper edge of the last filter.
        mel_scale: Mel formula: 2595 log10(1 + f/700) ("htk"), or Slaney's Auditory Toolbox.
        mel_norm: "slaney" divides each filter by its width in Hz; "none" gives peaks of one.
        padding: Extension of the signal before the first and after the last sample.
        power_floor: Lower limit of mel power before the logarithm.
        top_db: Dynamic range below the peak that is kept; null keeps all.
        top_db_peak: Range of the peak: "example" is channels, mels and frames of one window.
        normalisation: Normalization inside the network's graph. "example" subtracts the window's mean and divides
            by its standard deviation; "peak" subtracts the window's largest value; "none" keeps decibels.
        normalisation_floor_db: Lower limit of the standard deviation, so that silence gives zeros.
        resampler: Filter that converts a recording's rate: libsoxr's, or torchaudio's default. Files written before
            this key existed have libsoxr's, and the key is written only for another.

    Raises:
        ContractError: A number is out of range, or two numbers contradict each other.
    """

    rate_hz: int
    channels: int
    window_ms: int
    window_hop_frames: int
    n_fft: int
    hop_samples: int
    n_mels: int
    mel_min_hz: float
    mel_max_hz: float
    mel_scale: Literal["htk", "slaney"]
    mel_norm: Literal["none", "slaney"]
    padding: Literal["reflect"]
    power_floor: float
    top_db: float | None
    top_db_peak: Literal["example"]
    normalisation: Literal["example", "peak", "none"]
    normalisation_floor_db: float
    resampler: Literal["libsoxr", "torchaudio"] = "libsoxr"

    def __post_init__(self) -> None:
        self._check_ranges()
        self._check_window()

    def _check_ranges(self) -> None:
        for name in ("rate_hz", "channels", "window_ms", "window_hop_frames", "n_fft", "hop_samples", "n_mels"):
            if getattr(self, name) < 1:
                raise ContractError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        for name, most in _MOST.items():
            if getattr(self, name) > most:
                raise ContractError(f"{name} is {getattr(self, name)}; it must be {most} or less.")
        for name in ("power_floor", "normalisation_floor_db", "top_db"):
            number = getattr(self, name)
            if number is not None and not _FLOAT32[0] <= number <= _FLOAT32[1]:
                cut = ", or null for no cut" if name == "top_db" else ""
                raise ContractError(f"{name} is {number}; it must be greater than 0{cut}, and within {_FLOAT32}.")
        if not 0 <= self.mel_min_hz < self.mel_max_hz <= self.rate_hz / 2:
            raise ContractError(
                f"mel_min_hz {self.mel_min_hz} and mel_max_hz {self.mel_max_hz} must rise within "
                f"0 to {self.rate_hz / 2} Hz, half of rate_hz {self.rate_hz}."
            )

    def _check_window(self) -> None:
        if self.rate_hz * self.window_ms % 1000:
            raise ContractError(
                f"window_ms {self.window_ms} at rate_hz {self.rate_hz} is {self.rate_hz * self.window_ms / 1000} "
                "samples; choose a window that is a whole number of samples."
            )
        numbers = (
            self.channels * self.window_samples,
            math.prod(self.input_shape),
            self.n_mels * (self.n_fft // 2 + 1),
        )
        if max(numbers) > _MOST_NUMBERS:
            raise ContractError(
                f"A window has {numbers[0]} samples and {numbers[1]} mel decibels by filters of {numbers[2]} numbers; "
                f"each must be {_MOST_NUMBERS} or less."
            )
        if self.n_fft // 2 >= self.window_samples:
            raise ContractError(
                f"n_fft {self.n_fft} needs a window longer than {self.n_fft // 2} samples to reflect; "
                f"window_ms {self.window_ms} gives {self.window_samples}."
            )
        if self.window_hop_samples > self.window_samples:
            raise ContractError(
                f"window_hop_frames {self.window_hop_frames} is {self.window_hop_samples} samples, longer than the "
                f"window's {self.window_samples}: sound between two windows would never be classified."
            )

    @property
    def window_samples(self) -> int:
        """S of one window."""
        return self.rate_hz * self.window_ms // 1000

    @property
    def window_hop_samples(self) -> int:
        """Samples from one window's start to the next one's."""
        return self.window_hop_frames * self.hop_samples

    @property
    def n_frames(self) -> int:
        """T of one window: a frame is centered on every `hop_samples`-th sample, the first included."""
        return 1 + self.window_samples // self.hop_samples

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, M, T) of the network's input for one window."""
        return (self.channels, self.n_mels, self.n_frames)
