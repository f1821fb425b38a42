"""Format of raw samples, and their decoding.

Conventions: interleaved little-endian samples without a header, in a configured format.
Does not: read a stream (`capture/samples/pcm_stream.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from soundwatch.daemon.capture.samples.limits import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, MOST_CHANNELS
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.records.block import Samples

SAMPLE_BYTES: Final = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """Format of raw samples.

    Attributes:
        sample_format: u8, s16le, s24le, s32le or f32le: unsigned, signed or float, bits, little-endian.
        rate_hz: Sampling rate.
        channels: Number of samples in a frame.

    Raises:
        ConfigError: A value is not supported.
    """

    sample_format: str
    rate_hz: int
    channels: int

    def __post_init__(self) -> None:
        if self.sample_format not in SAMPLE_BYTES:
            raise ConfigError(f"Sample format {self.sample_format!r} was given; use one of {', '.join(SAMPLE_BYTES)}.")
        if not LOWEST_RATE_HZ <= self.rate_hz <= HIGHEST_RATE_HZ:
            raise ConfigError(f"A rate of {self.rate_hz} Hz was given; use {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}.")
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise ConfigError(f"{self.channels} channels were given; use 1 to {MOST_CHANNELS}.")

    @property
    def frame_bytes(self) -> int:
        """Size of one frame, a sample of each channel."""
        return SAMPLE_BYTES[self.sample_format] * self.channels

    @classmethod
    def parse(cls, text: str) -> PcmFormat:
        """Parse "s16le,48000,1": sample format, rate in Hz, channels.

        Raises:
            ConfigError: The text has another form.
        """
        parts = [part.strip() for part in text.split(",")]
        if len(parts) != 3 or not all(part.isdecimal() for part in parts[1:]):
            raise ConfigError(
                f"PCM format {text!r} was given; write sample format, rate in Hz and channels, such as s16le,48000,1."
            )
        return cls(parts[0], int(parts[1]), int(parts[2]))


def decode_pcm(data: bytes, pcm: PcmFormat) -> Samples:
    """Decode whole frames to samples (C, S), full scale 1."""
    if pcm.sample_format == "f32le":
        flat = np.frombuffer(data, "<f4").astype(np.float32, copy=False)
    elif pcm.sample_format == "u8":
        flat = (np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)
    elif pcm.sample_format == "s16le":
        flat = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(2**15)
    elif pcm.sample_format == "s32le":
        flat = np.frombuffer(data, "<i4").astype(np.float32) / np.float32(2**31)
    else:  # the three bytes become the upper ones of 32 bits
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        flat = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    return np.ascontiguousarray(flat.reshape(-1, pcm.channels).T)
