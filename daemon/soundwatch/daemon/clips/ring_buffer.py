"""The latest sound of one source, kept in memory so that an event's beginning is still there when it is decided.

Conventions: frames are (S, C) int16, as FLAC takes them and in half of the room; sound of 16 bits comes back bit for
bit. Places are samples at the source's own rate since the stream's start. Lost samples are zeros.
Does not: know events (`recorder.py`) or files (`clips/clip_store.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.types import Block, Samples

Frames = NDArray[np.int16]
FULL_SCALE: Final = 32_768


@dataclass(frozen=True, slots=True)
class Segment:
    """One block's sound.

    Attributes:
        first_sample: Where it begins.
        frames: (S, C).
    """

    first_sample: int
    frames: Frames

    @property
    def end_sample(self) -> int:
        """Where it ends."""
        return self.first_sample + len(self.frames)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of tape.

    Attributes:
        pieces: That hold it, in order, and may reach beyond it.
        first_sample: Where it begins.
        end_sample: Where it ends.
        rate_hz: Of the source.
    """

    pieces: Sequence[Segment]
    first_sample: int
    end_sample: int
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """Its length."""
        return (self.end_sample - self.first_sample) / self.rate_hz

    @property
    def lost_samples(self) -> int:
        """How much of it was lost."""
        held = sum(min(p.end_sample, self.end_sample) - max(p.first_sample, self.first_sample) for p in self.pieces)
        return self.end_sample - self.first_sample - held

    def frames(self) -> Frames:
        """The sound (S, C), with zeros for what was lost."""
        frames = np.zeros((self.end_sample - self.first_sample, self.pieces[0].frames.shape[1]), np.int16)
        for piece in self.pieces:
            first, end = max(piece.first_sample, self.first_sample), min(piece.end_sample, self.end_sample)
            frames[first - self.first_sample : end - self.first_sample] = piece.frames[
                first - piece.first_sample : end - piece.first_sample
            ]
        return frames


class RingBuffer:
    """A source's latest sound.

    Args:
        rate_hz: Of its blocks.
        channels: Of them.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self.rate_hz = rate_hz
        self.channels = channels
        self._pieces = deque[Segment]()

    @property
    def first_sample(self) -> int:
        """Where what is kept begins."""
        return self._pieces[0].first_sample if self._pieces else 0

    @property
    def end_sample(self) -> int:
        """Where what is kept ends."""
        return self._pieces[-1].end_sample if self._pieces else 0

    def add(self, block: Block) -> None:
        """Take the next sound."""
        if block.samples.shape[1]:
            self._pieces.append(Segment(block.first_sample, to_int16(block.samples)))

    def forget(self, before_sample: int) -> None:
        """Let go of whole pieces that end there or earlier."""
        while self._pieces and self._pieces[0].end_sample <= before_sample:
            self._pieces.popleft()

    def cut(self, first_sample: int, end_sample: int) -> Excerpt | None:
        """What is kept between two places, from its first sound to its last; None where that is nothing."""
        pieces = [p for p in self._pieces if p.end_sample > first_sample and p.first_sample < end_sample]
        if not pieces:
            return None
        first, end = max(first_sample, pieces[0].first_sample), min(end_sample, pieces[-1].end_sample)
        return Excerpt(pieces, first, end, self.rate_hz)


def to_int16(samples: Samples) -> Frames:
    """Samples (C, S) of full scale 1 as frames (S, C)."""
    scaled = np.rint(samples.T * np.float32(FULL_SCALE))
    frames: Frames = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return frames
