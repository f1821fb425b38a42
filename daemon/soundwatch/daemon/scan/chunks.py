"""A long recording as pieces that workers hear apart, joined to the bit of what one would have heard.

Conventions: a piece is the windows from `first_window` to before `end_window`; samples of the source and of the model's
rate are told apart by their names. The pieces of a recording overlap by what their windows share.
Why it is exact: each stage's state at a piece's first window is a function of a bounded stretch of sound before it.
- decide has no part in it: it runs afterwards, over all scores in order.
- mel computes the frames that are new in a window and takes the others from the windows before, so a piece begins
  `window / hop` windows early and drops them: then all its frames were computed in the same products as in one go.
- resample is libsoxr's stream: FIR filters, by FFTs over blocks of samples and then by phases of the ratio. A stream
  that starts anew is at the same block and at the same phase only at whole multiples of both (`restart_samples`, found
  by watching and proven on noise), and from its second block on gives the same samples to the bit.
- Files of which libsndfile cannot reach a sample exactly (MP3, Ogg, ADPCM) are not split, nor those at rates whose
  multiple is longer than `LONGEST_RESTART_S`.
Besides, each piece tells a digest of the resampled sound that it shares with its neighbour (`scan/worker.py`), and a
recording whose pieces do not agree is heard again in one (`scan/job.py`).
Does not: read sound.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from soundwatch.daemon.capture.frame_reader import open_frames
from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.types import Block, Samples
from soundwatch.daemon.frontend.resample import ResampleState, resample
from soundwatch.daemon.scan.discover import RecordingFile

LONGEST_RESTART_S: Final = 60
SPLIT_FROM_BYTES: Final = 64_000_000  # smaller files are not even opened before a worker does
PIECE_WINDOWS: Final = 1_920  # half an hour at a hop of a second, seconds of work; whole batches of the network
_FORMATS: Final = frozenset({"WAV", "WAVEX", "W64", "RF64", "AIFF", "AU", "CAF", "FLAC"})
_SUBTYPES: Final = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one worker hears at a time.

    Attributes:
        path: The recording.
        first_window: Number of its first window.
        end_window: Number of the window after its last; None for all to the end.
        start_sample: Where to start reading, in the source's samples.
    """

    path: Path
    first_window: int = 0
    end_window: int | None = None
    start_sample: int = 0

    @property
    def whole(self) -> bool:
        """Whether it is all of the recording."""
        return self.first_window == 0 and self.end_window is None


@dataclass(frozen=True, slots=True)
class ChunkPolicy:
    """From which size on files are split, and into how many windows a piece."""

    from_bytes: int = SPLIT_FROM_BYTES
    piece_windows: int = PIECE_WINDOWS


def plan_chunks(found: RecordingFile, spec: FeatureSpec, splitting: ChunkPolicy) -> Iterator[Chunk]:
    """A recording's pieces, in order; one for what is short, cannot be read, or cannot be split exactly."""
    starts = _starts(found, spec, splitting)
    for number, (first_window, start_sample) in enumerate(starts):
        end_window = starts[number + 1][0] if number + 1 < len(starts) else None
        yield Chunk(found.path, first_window, end_window, start_sample)


def _starts(found: RecordingFile, spec: FeatureSpec, splitting: ChunkPolicy) -> list[tuple[int, int]]:
    """First window of each piece, and the source's sample to start reading at."""
    whole = [(0, 0)]
    if found.size_bytes < splitting.from_bytes:
        return whole
    try:
        with contextlib.closing(open_frames(found.path)) as frames:
            container, _, sample_format = frames.encoding.partition(" ")
            if frames.samples is None or container not in _FORMATS or sample_format not in _SUBTYPES:
                return whole
            rate_hz, samples = frames.rate_hz, frames.samples * spec.rate_hz // frames.rate_hz
    except SourceError:  # the worker that opens it says so
        return whole
    restart = restart_samples(rate_hz, spec)
    if restart is None:
        return whole
    windows = 1 + (samples - spec.window_samples) // spec.window_hop_samples
    later = range(splitting.piece_windows, windows - splitting.piece_windows // 2, splitting.piece_windows)
    return whole + [(window, _start_sample(window, rate_hz, restart, spec)) for window in later]


def lead_in_windows(spec: FeatureSpec) -> int:
    """How many windows before its first a piece begins, so that no frame is left of how it began."""
    return -(-spec.window_samples // spec.window_hop_samples)


def _start_sample(first_window: int, rate_hz: int, restart: int, spec: FeatureSpec) -> int:
    """The last place to start at from which all is right once the lead-in begins."""
    needed = max(0, first_window - lead_in_windows(spec)) * spec.window_hop_samples * rate_hz // spec.rate_hz
    settled = needed if rate_hz == spec.rate_hz else needed - 2 * _block_samples(rate_hz, spec)
    return max(0, settled // restart * restart)


@lru_cache(maxsize=64)
def restart_samples(rate_hz: int, spec: FeatureSpec) -> int | None:
    """At whole multiples of so many samples of a source a resampler may start anew; None where it nowhere may."""
    if rate_hz == spec.rate_hz:
        return 1
    block = _block_samples(rate_hz, spec)
    if not block:
        return None
    restart = math.lcm(block, rate_hz // math.gcd(rate_hz, spec.rate_hz))
    return restart if restart <= LONGEST_RESTART_S * rate_hz and _agrees(restart, block, rate_hz, spec) else None


@lru_cache(maxsize=64)
def _block_samples(rate_hz: int, spec: FeatureSpec) -> int:
    """How many samples of a source the resampler takes in between two times that it gives some; 0 if that varies."""
    silence = np.zeros((1, 1), np.float32)
    state, given, sample = ResampleState(), list[int](), 0
    while len(given) < 5 and sample < rate_hz:
        state, blocks = resample(state, Block(silence, rate_hz, sample), spec)
        sample += 1
        if blocks:
            given.append(sample)
    apart = set(np.diff(given).tolist())
    return int(apart.pop()) if len(apart) == 1 else 0


def _agrees(restart: int, block: int, rate_hz: int, spec: FeatureSpec) -> bool:
    """Whether noise from there on comes out as if it had been heard from its start."""
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 2 * restart + 16 * block)).astype(np.float32)
    in_one = _resampled(noise, rate_hz, spec)
    settled = 2 * block * spec.rate_hz // rate_hz
    for start in (restart, 2 * restart):
        anew = _resampled(noise[:, start:], rate_hz, spec)[:, settled:]
        first = start * spec.rate_hz // rate_hz + settled
        if not anew.shape[1] or not np.array_equal(anew, in_one[:, first : first + anew.shape[1]]):
            return False
    return True


def _resampled(samples: Samples, rate_hz: int, spec: FeatureSpec) -> Samples:
    """What the stage gives for sound that goes on."""
    _, blocks = resample(ResampleState(), Block(samples, rate_hz, 0), spec)
    return np.concatenate([block.samples for block in blocks if block is not None], axis=1)
