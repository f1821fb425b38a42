"""A tone that a source seems to deliver in real time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.daemon.status.live import LiveFeed

RATE_HZ = 44_100
BLOCK_SAMPLES = 4_410


def tone_block(number: int, tone_hz: float = 1000.0, rate_hz: int = RATE_HZ) -> Block:
    """Return block `number` of a tone on two channels."""
    first = number * BLOCK_SAMPLES
    tone = 0.5 * np.sin(2 * np.pi * tone_hz * (first + np.arange(BLOCK_SAMPLES)) / rate_hz)
    return Block(read_only(np.stack([tone, tone]).astype(np.float32)), rate_hz, first)


@contextmanager
def live_tone(live: LiveFeed, source: str) -> Iterator[None]:
    """Publish a tone at 1 kHz within the context, ten blocks a second."""
    ended = threading.Event()

    def publish() -> None:
        number = 0
        while not ended.wait(BLOCK_SAMPLES / RATE_HZ):
            live.publish_sound(source, tone_block(number))
            number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
