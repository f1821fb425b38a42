"""Raw samples on standard input, from another program's pipe.

Conventions: the source reads as fast as the pipeline classifies, so the pipe blocks a faster writer and nothing is
dropped. Sample 0 is assumed to have been recorded one first read before that read.
Does not: pace; a pipe from a file is read as fast as possible.
"""

from __future__ import annotations

import io
import queue
import threading
import time
from collections.abc import Iterator
from typing import Final

from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.samples.pcm_stream import PcmStream
from soundwatch.daemon.capture.samples.validate import validate_samples
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.text.messages import failure_text

BLOCK_MS: Final = 100
QUEUED_BLOCKS: Final = 8


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
        rate_hz, end_sample = self.info.rate_hz, 0
        stream = PcmStream(self._pcm, "Standard input")
        while data := self._next():
            samples = stream.decode(data)
            if not samples.shape[1]:
                continue
            validate_samples(samples, end_sample, rate_hz, self.info.description)
            if not end_sample:
                self.start_unix_ns = time.time_ns() - samples.shape[1] * 1_000_000_000 // rate_hz
            yield Block(samples, rate_hz, end_sample)
            end_sample += samples.shape[1]
        if stream.rest and not self._stopped:
            raise SourceError(
                f"Standard input ended after {end_sample} frames with {len(stream.rest)} bytes of the next, which has "
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
