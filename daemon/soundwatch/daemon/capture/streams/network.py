"""The source that reads raw samples from any connection.

Conventions: interleaved little-endian samples without a header, in a configured format. A connection is live: sample 0
is assumed to have been recorded one first read before that read, a busy machine does not slow the sender, and the end
of the stream is a loss. A connection is closed with its source. The samples carry no numbers, so losses are found by
the clock only (`capture/monitoring/drop_detector.py`): 150 ms and more within four seconds, and smaller ones once they
add up.
Does not: open a connection (`capture/streams/connect.py`), reconnect (`capture/monitoring/reconnect.py`), or read a
stream's own time stamps.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

from soundwatch.daemon.capture.descriptors.pipes import wait_closed, wait_readable
from soundwatch.daemon.capture.monitoring.drop_detector import DropDetectorState, detect_drops
from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.samples.pcm_stream import PcmStream
from soundwatch.daemon.capture.samples.validate import validate_samples
from soundwatch.daemon.capture.streams.connection import Connection
from soundwatch.daemon.core.errors import SourceError, StallError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.time.clock import monotonic_ns

FIRST_S: Final = 15.0  # cameras need some seconds to start
SILENT_S: Final = 2.5
POLL_MS: Final = 100
REFUSED_POLLS: Final = 20  # of a connection that a former source reads until it has ended
BLOCK_MS: Final = 100
PIECE_S: Final = 0.1  # of sound that a gathering system delivers at once
LARGEST_DATAGRAM_BYTES: Final = 1 << 16


class NetworkSource:
    """A live source of raw samples.

    Args:
        name: The source's name in events.
        description: Address without its secrets.
        connect: Opens the connection, or raises `SourceError`.
        pcm: Format of the samples.

    Raises:
        SourceError: The connection cannot be opened.
    """

    def __init__(self, name: str, description: str, connect: Callable[[], Connection], pcm: PcmFormat) -> None:
        self.info = SourceInfo(name, description, pcm.rate_hz, pcm.channels)
        self.start_unix_ns = 0
        self._pcm = pcm
        self._stopped = False
        self._gather_until: int | None = None
        self._expected_samples = 0  # of the next read
        self._connection = connect()

    def blocks(self) -> Iterator[Block]:
        """Yield blocks as they arrive, until `stop`.

        Raises:
            StallError: Nothing has arrived for some seconds.
            SourceError: The connection is read by another source, has ended, gives a sample that is not a number, or
                begins with the header of another format.
        """
        rate_hz, end_sample = self.info.rate_hz, 0
        stream = PcmStream(self._pcm, self.info.description, datagrams=self._connection.datagrams)
        watch, ended = DropDetectorState(), False
        first_s = FIRST_S if self._connection.first_s is None else self._connection.first_s
        try:
            self._wait_for_former()
            while data := self._read(SILENT_S if end_sample else first_s):
                arrival_ns = monotonic_ns()
                samples = stream.decode(data)
                if not samples.shape[1]:
                    continue
                size = samples.shape[1]
                watch, lost = detect_drops(watch, arrival_ns, end_sample + size, rate_hz)
                validate_samples(samples, end_sample + lost, rate_hz, self.info.description)
                if not end_sample:
                    self.start_unix_ns = time.time_ns() - size * 1_000_000_000 // rate_hz
                yield Block(samples, rate_hz, end_sample + lost, lost, arrival_ns)
                end_sample += lost + size
                self._gather(size, end_sample)
            ended = not self._stopped
        finally:
            reason = self._connection.close(received=end_sample > 0)
        if ended:
            raise SourceError(f"{self.info.description} ended{': ' if reason else '.'}{reason}")

    def gather_until(self, end_sample: int) -> None:
        """Let the next block end at this sample, or soon after, if sound may wait for a read."""
        self._gather_until = end_sample

    def stop(self) -> None:
        """Make `blocks` end."""
        self._stopped = True
        self._connection.interrupt()

    def _gather(self, size: int, end_sample: int) -> None:
        """Wait for more sound, unless more was waiting than may wait."""
        gather_s, longest_s, rate_hz = self._connection.gather_s, self._connection.longest_gather_s, self.info.rate_hz
        if self._gather_until is not None:
            self._expected_samples = max(0, self._gather_until - end_sample)
            wanted_s = PIECE_S + (self._gather_until - end_sample) / rate_hz
            gather_s = max(0.0, min(wanted_s, longest_s))  # a poll of a negative time would never end
        if gather_s and size < longest_s * rate_hz and not self._stopped:
            wait_closed(self._connection.fd, round(gather_s * 1000), self._connection.message_fd)

    def _wait_for_former(self) -> None:
        """Wait until no other source reads the connection.

        Raises:
            SourceError: Another one goes on.
        """
        for poll in range(REFUSED_POLLS + 1):
            refusal = None if self._stopped else self._connection.refusal()
            if refusal is None:
                return
            if poll == REFUSED_POLLS:
                raise SourceError(refusal)
            time.sleep(POLL_MS / 1000)

    def _read(self, patience_s: float) -> bytes:
        """Read available bytes; none at the end and after `stop`."""
        block_s = max(BLOCK_MS / 1000, 1.5 * self._connection.longest_gather_s)
        size = round(self.info.rate_hz * block_s) * self._pcm.frame_bytes
        datagrams, empty_polls = self._connection.datagrams, 0
        while not self._stopped:
            if wait_readable(self._connection.fd, POLL_MS, self._connection.message_fd):
                with contextlib.suppress(BlockingIOError):
                    data = self._receive(LARGEST_DATAGRAM_BYTES if datagrams else size)
                    if data or not datagrams:
                        return data
                time.sleep(POLL_MS / 1000)
            if self._connection.is_replaced():
                raise SourceError(f"{self.info.description} was removed or replaced.")
            empty_polls += 1  # polls, not time, which also passes while this program is suspended
            if empty_polls * POLL_MS >= patience_s * 1000:
                raise StallError(f"{self.info.description} has delivered nothing for {patience_s:g} s.")
        return b""

    def _receive(self, size: int) -> bytes:
        try:
            if self._connection.receive is not None:
                return self._connection.receive(size, self._expected_samples * self._pcm.frame_bytes)
            return os.read(self._connection.fd, size)
        except BlockingIOError:
            raise
        except OSError as error:
            raise SourceError(f"{self.info.description} cannot be read: {error.strerror}.") from error
