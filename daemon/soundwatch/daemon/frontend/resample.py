"""Conversion of a source's rate and channels to the model's, block by block.

Conventions: blocks of (C, S) float32 at the source's rate in, at `spec.rate_hz` out. Sample k of the output is
the signal at k / rate_hz seconds, so stream times carry over.
Channels are matched by the rule of `core/records/channels.py`. A stream's mono stays one channel, (1, S), which
`frontend/mel.py` repeats once it has its frames.
Source: libsoxr (HQ) or, where the model's contract names it, torchaudio's filter (`windowed_sinc.py`). Each gives equal
samples for every way of cutting the signal into blocks, and equal to its one-shot call. Training prepares its
clips with `resample_clip`, so training and daemon cannot differ.
Does not: conceal losses. After lost samples the filter restarts, and the loss is passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Block, Samples, join_blocks, read_only
from soundwatch.daemon.core.records.channels import match_channels, to_mono
from soundwatch.daemon.frontend.windowed_sinc import WindowedSincStream

_QUALITY: Final = "HQ"
_SLICES_A_SECOND: Final = 10


class ResamplerStream(Protocol):
    """A resampler between two chunks of a signal."""

    def resample_chunk(self, x: NDArray[np.float32], /, last: bool = False) -> NDArray[np.float32]:
        """Take samples (S, C); return those (S', C) that they complete, or with `last` all that are left."""


def open_stream(rate_hz: int, channels: int, spec: FeatureSpec) -> ResamplerStream:
    """Return the spec's resampler at the start of a signal (S, C) at `rate_hz`."""
    if spec.resampler == "torchaudio":
        return WindowedSincStream(rate_hz, spec.rate_hz, channels)
    stream: ResamplerStream = soxr.ResampleStream(rate_hz, spec.rate_hz, channels, dtype="float32", quality=_QUALITY)
    return stream


def coalesce_blocks(blocks: Sequence[Block]) -> list[Block]:
    """Join blocks without a loss between them."""
    starts = [place for place, block in enumerate(blocks) if block.lost_samples or not place]
    runs = [blocks[start:end] for start, end in zip(starts, [*starts[1:], len(blocks)], strict=True)]
    return [join_blocks(run) for run in runs]


def resample_clip(samples: Samples, rate_hz: int, spec: FeatureSpec) -> Samples:
    """Convert a whole recording (C, S) at `rate_hz` to samples (spec.channels, S') at `spec.rate_hz`."""
    narrow = samples if samples.shape[0] == spec.channels else match_channels(samples, 1)
    if rate_hz != spec.rate_hz and spec.resampler == "torchaudio":
        narrow = open_stream(rate_hz, narrow.shape[0], spec).resample_chunk(narrow.T, last=True).T
    elif rate_hz != spec.rate_hz:
        narrow = soxr.resample(np.ascontiguousarray(narrow.T), rate_hz, spec.rate_hz, quality=_QUALITY).T
    return np.ascontiguousarray(match_channels(narrow, spec.channels), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class ResampleState:
    """State of a stream between two blocks.

    Attributes:
        stream: The resampler's state since the last loss; None before the first block and at equal rates.
        channels: Number of channels in `stream`.
        end_sample: Number of the next output sample.
        lost_samples: Number of output samples lost right before the next one.
    """

    stream: ResamplerStream | None = None
    channels: int = 0
    end_sample: int = 0
    lost_samples: int = 0


def resample(state: ResampleState, block: Block | None, spec: FeatureSpec) -> tuple[ResampleState, list[Block | None]]:
    """Resample the next block, or None for the end of the sound: the resample stage.

    Returns:
        The next state, and no, one or (around a loss) two blocks; after the end, None is the last.
    """
    if block is None:
        state, tail = _drain(state, spec)
        return state, [*tail, None]
    drained: list[Block] = []
    if block.lost_samples:
        state, drained = _drain(state, spec)
        state = _skip_to(state, block.first_sample * spec.rate_hz // block.rate_hz)
    narrow = block.samples if block.samples.shape[0] in (1, spec.channels) else to_mono(block.samples)
    if block.rate_hz == spec.rate_hz:
        state, done = _to_model_blocks(state, narrow, spec)
    else:
        if state.stream is None:
            channels = narrow.shape[0]
            state = replace(state, stream=open_stream(block.rate_hz, channels, spec), channels=channels)
        assert state.stream is not None
        state, done = _to_model_blocks(state, _in_slices(state.stream, narrow, block.rate_hz // _SLICES_A_SECOND), spec)
    return state, [*drained, *done]


def _in_slices(stream: ResamplerStream, narrow: Samples, slice_samples: int) -> Samples:
    """Filter samples (C, S) in slices, since libsoxr keeps buffers as long as the longest slice."""
    frames = np.ascontiguousarray(narrow.T)
    slices = [frames[first : first + slice_samples] for first in range(0, max(1, len(frames)), slice_samples)]
    return np.concatenate([stream.resample_chunk(chunk) for chunk in slices]).T


def _drain(state: ResampleState, spec: FeatureSpec) -> tuple[ResampleState, list[Block]]:
    """Flush the filter."""
    if state.stream is None:
        return state, []
    nothing = np.zeros((0, state.channels), np.float32)
    tail = state.stream.resample_chunk(nothing, last=True).T
    return _to_model_blocks(replace(state, stream=None), tail, spec)


def _skip_to(state: ResampleState, resumed_sample: int) -> ResampleState:
    """Skip lost samples. The filter's tail may end one sample later than the loss: time never runs back."""
    lost_samples = max(0, resumed_sample - state.end_sample)
    return replace(state, end_sample=state.end_sample + lost_samples, lost_samples=state.lost_samples + lost_samples)


def _to_model_blocks(state: ResampleState, narrow: Samples, spec: FeatureSpec) -> tuple[ResampleState, list[Block]]:
    """Append samples as a block, if there are any, or if a loss must be reported."""
    if not narrow.shape[1] and not state.lost_samples:
        return state, []
    samples = read_only(np.ascontiguousarray(narrow, np.float32))
    block = Block(samples, spec.rate_hz, state.end_sample, state.lost_samples)
    return replace(state, end_sample=state.end_sample + samples.shape[1], lost_samples=0), [block]
