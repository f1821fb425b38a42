"""The queue between the engine's thread and one listener.

Conventions: in, blocks (C, S); out, bytes of mono samples of 16 bits, little-endian. `put` never waits. A block of
another rate ends the queue, since an encoder has one rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Final

import numpy as np

from soundwatch.daemon.core.records.block import Block

QUEUED_S: Final = 1.0
BYTES_PER_SAMPLE: Final = 2


class ListenerQueue:
    """Sound that waits to be sent to one listener.

    Args:
        loop: Event loop of the reader.

    Attributes:
        rate_hz: Rate of the sound; 0 before the first block.
        lost_blocks: Number of blocks that were dropped.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.rate_hz = 0
        self.lost_blocks = 0
        self._loop = loop
        self._blocks = deque[bytes]()
        self._lock = threading.Lock()
        self._arrived = asyncio.Event()
        self._ended = False

    def put(self, block: Block) -> None:
        """Queue a block; called in the engine's thread."""
        mono = np.clip(block.samples.mean(axis=0), -1.0, 1.0)
        pcm = (mono * 32_767).astype("<i2").tobytes()
        with self._lock:
            self.rate_hz = self.rate_hz or block.rate_hz
            self._ended = self._ended or block.rate_hz != self.rate_hz
            if self._ended:
                return
            self._blocks.append(pcm)
            while sum(map(len, self._blocks)) > QUEUED_S * self.rate_hz * BYTES_PER_SAMPLE and len(self._blocks) > 1:
                self._blocks.popleft()
                self.lost_blocks += 1
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
            self._loop.call_soon_threadsafe(self._arrived.set)

    def end(self) -> None:
        """End the queue; called in the loop."""
        with self._lock:
            self._ended = True
        self._arrived.set()

    async def next(self, timeout_s: float) -> bytes | None:
        """Return the sound so far; None after a time without sound, and at the end."""
        while True:
            self._arrived.clear()
            with self._lock:
                found = b"".join(self._blocks)
                self._blocks.clear()
                ended = self._ended
            if found or ended:
                return found or None
            try:
                await asyncio.wait_for(self._arrived.wait(), timeout_s)
            except TimeoutError:
                return None
