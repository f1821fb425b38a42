"""Raw samples on standard input, from another program's pipe.

Conventions: interleaved little-endian samples without a header, in a configured format. The source
reads as fast as the pipeline classifies, so the pipe blocks a faster writer and nothing is dropped.
Sample 0 is assumed to have been recorded one first read before that read.
Does not: pace; a pipe from a file is read as fast as possible.
"""

from __future__ import annotations

import io
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from soundwatch.daemon.capture.frame_reader import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, MOST_CHANNELS
from soundwatch.daemon.capture.raw_header import header_bytes
from soundwatch.daemon.capture.validate import validate_samples
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.core.source import SourceInfo
from soundwatch.daemon.core.text import failure_text
from soundwatch.daemon.core.types import Block, Samples, read_only

SAMPLE_BYTES: Final = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}
BLOCK_MS: Final = 100
QUEUED_BLOCKS: Final = 8


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


class RawPcm:
    """Raw samples from a stream of bytes.

    Args:
        name: The source's name in events.
        stream: Unbuffered, so that a read returns available bytes and holds no lock at the interpreter's exit.
        pcm: Format of the samples.

    Raises:
        SourceError: The stream is a terminal.
    """

    def __init__(self, name: str, stream: io.RawIOBase, pcm: PcmFormat) -> None:
        if stream.isatty():
            raise SourceError(
                "Raw samples were expected on standard input, which is a terminal. Pipe them in, such as "
                "`arecord -t raw -f S16_LE -r 44100 -c 1 | soundwatch run --device -`."
            )
        self.info = SourceInfo(
            name, f"standard input, {pcm.sample_format}", pcm.rate_hz, pcm.channels, supports_backpressure=True
        )
        self.start_unix_ns = 0
        self._stream = stream
        self._pcm = pcm
        self._stopped = False
        self._room = threading.Semaphore(QUEUED_BLOCKS)
        self._queue: queue.SimpleQueue[bytes | Exception | None] = queue.SimpleQueue()  # its put may interrupt its get

    def blocks(self) -> Iterator[Block]:
        """Yield blocks as they arrive, until the end of the input or `stop`.

        Raises:
            SourceError: The input cannot be read, ends inside a frame, contains a sample that is not a number, or has
                the header of another format.
        """
        threading.Thread(target=self._fetch, name="pcm", daemon=True).start()
        rate_hz, end_sample, rest = self.info.rate_hz, 0, b""
        while data := self._next():
            rest += data
            header = 0 if end_sample else header_bytes(rest, self._pcm, "Standard input")
            if header is None:
                continue
            rest = rest[header:]
            whole = len(rest) - len(rest) % self._pcm.frame_bytes
            samples = read_only(decode_pcm(rest[:whole], self._pcm))
            rest = rest[whole:]
            if not whole:
                continue
            validate_samples(samples, end_sample, rate_hz, self.info.description)
            if not end_sample:
                self.start_unix_ns = time.time_ns() - samples.shape[1] * 1_000_000_000 // rate_hz
            yield Block(samples, rate_hz, end_sample)
            end_sample += samples.shape[1]
        if rest and not self._stopped:
            raise SourceError(
                f"Standard input ended after {end_sample} frames with {len(rest)} bytes of the next, which has "
                f"{self._pcm.frame_bytes}. Check that it is {self._pcm.sample_format} with {self._pcm.channels} "
                "channels, and that its writer was not cut off."
            )

    def stop(self) -> None:
        """Make `blocks` end, even during a wait for input."""
        self._stopped = True
        self._queue.put(None)

    def _fetch(self) -> None:
        """Read in a thread that may be abandoned in a read, since no portable call ends a read."""
        size = self._pcm.rate_hz * BLOCK_MS // 1000 * self._pcm.frame_bytes
        data: bytes | None = None
        while data != b"" and not self._stopped:
            self._room.acquire()
            try:
                data = self._stream.read(size)
            except Exception as error:  # noqa: BLE001  # raised again by the reader, which waits for it
                self._queue.put(error)
                return
            if data is None:  # a non-blocking input without data
                time.sleep(BLOCK_MS / 1000)
                self._room.release()
            else:
                self._queue.put(data)

    def _next(self) -> bytes:
        """Return the next bytes; none at the end and after `stop`."""
        data = None if self._stopped else self._queue.get()
        if isinstance(data, Exception):
            raise SourceError(f"Standard input cannot be read: {failure_text(data)}. Check the pipe it comes from.")
        self._room.release()
        return b"" if self._stopped or data is None else data


def standard_input() -> io.RawIOBase:
    """Open standard input without Python's buffer.

    Raises:
        SourceError: Standard input is closed.
    """
    try:
        return open(0, "rb", buffering=0, closefd=False)
    except OSError as error:
        raise SourceError(
            f"Raw samples were expected on standard input, which is closed: {error.strerror}. Pipe them in."
        ) from error
