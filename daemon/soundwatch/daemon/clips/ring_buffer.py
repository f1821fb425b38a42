"""The latest sound of one source in memory: the begin of an event precedes its detection.

Conventions: frames are (S, C) int16, as FLAC takes them; sound of 16 bits is kept bit for bit. Positions are samples at
the rate of the source since the start of the stream. Lost samples are zeros.
Does not: know events (`recorder.py`) or files (`clips/clip_store.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Block, Samples

Frames = NDArray[np.int16]
FULL_SCALE: Final = 32_768


@dataclass(frozen=True, slots=True)
class Segment:
    """The sound of one block.

    Attributes:
        first_sample: Number of the first sample.
        frames: (S, C).
    """

    first_sample: int
    frames: Frames

    @property
    def end_sample(self) -> int:
        """Number of the sample after the last one."""
        return self.first_sample + len(self.frames)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A range of samples of a ring buffer.

    Attributes:
        segments: The segments that overlap the range, in order.
        first_sample: Number of the first sample.
        end_sample: Number of the sample after the last one.
        rate_hz: Rate of the source.
    """

    segments: Sequence[Segment]
    first_sample: int
    end_sample: int
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return (self.end_sample - self.first_sample) / self.rate_hz

    @property
    def lost_samples(self) -> int:
        """Number of lost samples in the range."""
        present = sum(
            min(segment.end_sample, self.end_sample) - max(segment.first_sample, self.first_sample)
            for segment in self.segments
        )
        return self.end_sample - self.first_sample - present

    def frames(self) -> Frames:
        """Return the samples (S, C), with zeros in place of lost ones."""
        frames = np.zeros((self.end_sample - self.first_sample, self.segments[0].frames.shape[1]), np.int16)
        for segment in self.segments:
            first, end = max(segment.first_sample, self.first_sample), min(segment.end_sample, self.end_sample)
            frames[first - self.first_sample : end - self.first_sample] = segment.frames[
                first - segment.first_sample : end - segment.first_sample
            ]
        return frames


class RingBuffer:
    """The latest sound of one source.

    Args:
        rate_hz: Rate of its blocks.
        channels: Number of channels of its blocks.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self.rate_hz = rate_hz
        self.channels = channels
        self._segments = deque[Segment]()

    @property
    def first_sample(self) -> int:
        """Number of the first sample in the buffer."""
        return self._segments[0].first_sample if self._segments else 0

    @property
    def end_sample(self) -> int:
        """Number of the sample after the last one in the buffer."""
        return self._segments[-1].end_sample if self._segments else 0

    def add(self, block: Block) -> None:
        """Append a block."""
        if block.samples.shape[1]:
            self._segments.append(Segment(block.first_sample, to_int16(block.samples)))

    def discard_before(self, sample: int) -> None:
        """Remove the segments that end at a sample or earlier."""
        while self._segments and self._segments[0].end_sample <= sample:
            self._segments.popleft()

    def excerpt(self, first_sample: int, end_sample: int) -> Excerpt | None:
        """Return the sound of a range, without missing ends; None where nothing of the range is left."""
        segments = [
            segment
            for segment in self._segments
            if segment.end_sample > first_sample and segment.first_sample < end_sample
        ]
        if not segments:
            return None
        first, end = max(first_sample, segments[0].first_sample), min(end_sample, segments[-1].end_sample)
        return Excerpt(segments, first, end, self.rate_hz)


def to_int16(samples: Samples) -> Frames:
    """Convert samples (C, S) of full scale 1 to frames (S, C)."""
    scaled = np.rint(samples.T * np.float32(FULL_SCALE))
    frames: Frames = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return frames
