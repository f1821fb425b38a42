"""Division of a long recording into chunks whose joined scores are bit-identical to those of the whole recording.

Conventions: a chunk is the windows from `first_window` to before `end_window`; samples of the source and of the model's
rate have different names. Adjacent chunks overlap by the sound that their windows share.
Why the result is exact: each stage's state at a chunk's first window depends on a bounded part of the sound before it.
- decide is not affected: it runs afterwards, over all scores in order.
- mel computes the new frames of a window and takes the others from the previous windows. A chunk therefore begins
  `window / hop` windows early and drops those windows, so its frames come from the products of an undivided run.
- resample is libsoxr's stream: FIR filters by FFT over blocks of samples, then by phases of the ratio. A new stream has
  the block and the phase of the undivided stream only at whole multiples of both (`restart_samples`, measured and
  checked on noise); from its second block on, its samples are bit-identical.
- Files in which libsndfile cannot seek to an exact sample (MP3, Ogg, ADPCM) are not divided, nor are files at rates
  whose multiple is longer than `LONGEST_RESTART_S`.
In addition, each chunk carries a digest of the resampled sound that it shares with its neighbor (`scan/worker.py`). A
recording whose digests differ is scored again as one chunk (`scan/job.py`).
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

from soundwatch.daemon.capture.recordings.frame_reader import open_frames
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Block, Samples
from soundwatch.daemon.frontend.resample import ResampleState, resample
from soundwatch.daemon.scan.discover import RecordingFile

LONGEST_RESTART_S: Final = 60
SPLIT_FROM_BYTES: Final = 64_000_000  # smaller files are opened by a worker only
CHUNK_WINDOWS: Final = 1_920  # half an hour at a hop of one second: seconds of work, in whole batches
_FORMATS: Final = frozenset({"WAV", "WAVEX", "W64", "RF64", "AIFF", "AU", "CAF", "FLAC"})
_SUBTYPES: Final = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})


@dataclass(frozen=True, slots=True)
class Chunk:
    """The part of a recording that one worker scores at a time.

    Attributes:
        path: The recording.
        first_window: Number of the first window.
        end_window: Number of the window after the last one; None for all windows to the end.
        start_sample: Sample at which reading starts, at the source's rate.
    """

    path: Path
    first_window: int = 0
    end_window: int | None = None
    start_sample: int = 0

    @property
    def whole(self) -> bool:
        """True if the chunk is the whole recording."""
        return self.first_window == 0 and self.end_window is None


@dataclass(frozen=True, slots=True)
class ChunkPolicy:
    """Parameters of the division.

    Attributes:
        from_bytes: Size of the smallest file that is divided.
        chunk_windows: Number of windows in a chunk.
    """

    from_bytes: int = SPLIT_FROM_BYTES
    chunk_windows: int = CHUNK_WINDOWS


def plan_chunks(recording: RecordingFile, spec: FeatureSpec, policy: ChunkPolicy) -> Iterator[Chunk]:
    """Yield a recording's chunks in order; one chunk if it is short, unreadable, or cannot be divided exactly."""
    starts = _starts(recording, spec, policy)
    for number, (first_window, start_sample) in enumerate(starts):
        end_window = starts[number + 1][0] if number + 1 < len(starts) else None
        yield Chunk(recording.path, first_window, end_window, start_sample)


def _starts(recording: RecordingFile, spec: FeatureSpec, policy: ChunkPolicy) -> list[tuple[int, int]]:
    """Return the first window of each chunk, and the sample at which reading starts, at the source's rate."""
    whole = [(0, 0)]
    if recording.size_bytes < policy.from_bytes:
        return whole
    try:
        with contextlib.closing(open_frames(recording.path)) as frames:
            container, _, sample_format = frames.encoding.partition(" ")
            if frames.samples is None or container not in _FORMATS or sample_format not in _SUBTYPES:
                return whole
            rate_hz, samples = frames.rate_hz, frames.samples * spec.rate_hz // frames.rate_hz
    except SourceError:  # the worker that opens the file reports it
        return whole
    restart = restart_samples(rate_hz, spec)
    if restart is None:
        return whole
    windows = 1 + (samples - spec.window_samples) // spec.window_hop_samples
    later = range(policy.chunk_windows, windows - policy.chunk_windows // 2, policy.chunk_windows)
    return whole + [(window, _start_sample(window, rate_hz, restart, spec)) for window in later]


def lead_in_windows(spec: FeatureSpec) -> int:
    """Return the number of windows by which a chunk begins early, so that no frame depends on its beginning."""
    return -(-spec.window_samples // spec.window_hop_samples)


def _start_sample(first_window: int, rate_hz: int, restart: int, spec: FeatureSpec) -> int:
    """Return the last start sample from which the resampler's output is exact when the lead-in begins."""
    lead_in_sample = max(0, first_window - lead_in_windows(spec)) * spec.window_hop_samples * rate_hz // spec.rate_hz
    latest = lead_in_sample if rate_hz == spec.rate_hz else lead_in_sample - 2 * _block_samples(rate_hz, spec)
    return max(0, latest // restart * restart)


@lru_cache(maxsize=64)
def restart_samples(rate_hz: int, spec: FeatureSpec) -> int | None:
    """Return the samples of a source at whose multiples a resampler may be restarted; None if it may not be."""
    if rate_hz == spec.rate_hz:
        return 1
    block = _block_samples(rate_hz, spec)
    if not block:
        return None
    restart = math.lcm(block, rate_hz // math.gcd(rate_hz, spec.rate_hz))
    return restart if restart <= LONGEST_RESTART_S * rate_hz and _agrees(restart, block, rate_hz, spec) else None


@lru_cache(maxsize=64)
def _block_samples(rate_hz: int, spec: FeatureSpec) -> int:
    """Return the number of input samples between two outputs of the resampler; 0 if it varies."""
    silence = np.zeros((1, 1), np.float32)
    state, output_samples, sample = ResampleState(), list[int](), 0
    while len(output_samples) < 5 and sample < rate_hz:
        state, blocks = resample(state, Block(silence, rate_hz, sample), spec)
        sample += 1
        if blocks:
            output_samples.append(sample)
    distances = set(np.diff(output_samples).tolist())
    return int(distances.pop()) if len(distances) == 1 else 0


def _agrees(restart: int, block: int, rate_hz: int, spec: FeatureSpec) -> bool:
    """Return True if a resampler restarted there gives bit-identical samples of noise."""
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 2 * restart + 16 * block)).astype(np.float32)
    undivided = _resampled(noise, rate_hz, spec)
    settling_samples = 2 * block * spec.rate_hz // rate_hz
    for start in (restart, 2 * restart):
        restarted = _resampled(noise[:, start:], rate_hz, spec)[:, settling_samples:]
        first = start * spec.rate_hz // rate_hz + settling_samples
        if not restarted.shape[1] or not np.array_equal(restarted, undivided[:, first : first + restarted.shape[1]]):
            return False
    return True


def _resampled(samples: Samples, rate_hz: int, spec: FeatureSpec) -> Samples:
    """Resample without flushing the end."""
    _, blocks = resample(ResampleState(), Block(samples, rate_hz, 0), spec)
    return np.concatenate([block.samples for block in blocks if block is not None], axis=1)
