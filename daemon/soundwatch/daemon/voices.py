"""One source as the engine knows it, and what it has to tell.

Conventions: as in `engine.py`, whose records these are. Its thread alone writes to them, where nothing else is said.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from soundwatch.daemon.listen import Listening
from soundwatch.daemon.pipeline import Inbound, Outbound
from soundwatch.daemon.types import Block, Gap, Heard, read_only
from soundwatch.daemon.wire import Stream

UNREAD_SOUNDS: Final = 4


@dataclass(slots=True)
class Voice:
    """One source as the engine knows it.

    Attributes:
        listening: The source, and how its sound ended.
        outbound: Where it stands behind the network.
        inbound: Where it stands before it.
        stream: What makes its lines; None before its first block.
        waiting_windows: How many of its windows wait for the network.
        unread_sounds: How often more it may hand sound over before it has to wait.
        handed_sounds: How often it has handed sound over; its own thread counts.
        taken_sounds: How many of those have been through the pipeline.
        owed_sounds: How many of those it is not given back before its windows are done.
    """

    listening: Listening
    outbound: Outbound
    inbound: Inbound = field(default_factory=Inbound)
    stream: Stream | None = None
    waiting_windows: int = 0
    unread_sounds: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(UNREAD_SOUNDS))
    handed_sounds: int = 0
    taken_sounds: int = 0
    owed_sounds: int = 0

    @property
    def waits(self) -> bool:
        """Whether the source loses nothing by not being read."""
        return self.listening.source.info.waits


@dataclass(slots=True)
class Waiting:
    """What a source has to tell when its turn comes.

    Attributes:
        voice: The source.
        heard: A window, a loss, or None where the sound is over.
        since_ns: When its last sample came.
    """

    voice: Voice
    heard: Heard | Gap | None
    since_ns: int


def joined(blocks: Sequence[Block]) -> list[Block]:
    """The same sound in as few blocks as there are losses."""
    starts = [place for place, block in enumerate(blocks) if block.lost_samples or not place]
    runs = [blocks[start:end] for start, end in zip(starts, [*starts[1:], len(blocks)], strict=True)]
    return [
        replace(run[0], samples=read_only(np.concatenate([block.samples for block in run], axis=1)))
        if len(run) > 1
        else run[0]
        for run in runs
    ]
