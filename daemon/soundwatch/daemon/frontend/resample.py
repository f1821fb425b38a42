"""Any source's rate and channels to the model's, block by block.

Conventions: blocks of (C, S) float32 at the source's rate in, at `spec.rate_hz` out. Sample k of the output is
the signal at k / rate_hz seconds, so stream times carry over.
Channels are matched by the rule of `core/channels.py`. A stream's mono stays one channel, (1, S), which
`frontend/mel.py` repeats once it has its frames.
Source: libsoxr (HQ), whose stream gives the same samples for every way of cutting the signal into
blocks, and the same as its one-shot call. Training prepares its clips with `resample_clip` below, so
the two rooms cannot differ.
Does not: repair anything. Where samples were lost the filter starts anew, and the loss is passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import soxr

from soundwatch.daemon.core.channels import match_channels, to_mono, to_mono_joined
from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.types import Block, Samples, read_only

_QUALITY = "HQ"
_SLICES_A_SECOND = 10


def coalesce_blocks(blocks: Sequence[Block], spec: FeatureSpec) -> list[Block]:
    """The same sound in as few blocks as there are losses; what `resample` would average is averaged on the way."""
    starts = [place for place, block in enumerate(blocks) if block.lost_samples or not place]
    runs = [blocks[start:end] for start, end in zip(starts, [*starts[1:], len(blocks)], strict=True)]
    return [_join(run, spec) if len(run) > 1 else run[0] for run in runs]


def _join(run: Sequence[Block], spec: FeatureSpec) -> Block:
    """Blocks without a loss between them as one."""
    pieces = [block.samples for block in run]
    as_it_is = pieces[0].shape[0] in (1, spec.channels)
    return replace(run[0], samples=read_only(np.concatenate(pieces, axis=1) if as_it_is else to_mono_joined(pieces)))


def resample_clip(samples: Samples, rate_hz: int, spec: FeatureSpec) -> Samples:
    """A whole recording (C, S) at `rate_hz` as samples (spec.channels, S') at `spec.rate_hz`."""
    narrow = samples if samples.shape[0] == spec.channels else match_channels(samples, 1)
    if rate_hz != spec.rate_hz:
        narrow = soxr.resample(np.ascontiguousarray(narrow.T), rate_hz, spec.rate_hz, quality=_QUALITY).T
    return np.ascontiguousarray(match_channels(narrow, spec.channels), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class ResampleState:
    """Where a stream stands between two blocks.

    Attributes:
        stream: libsoxr's own state since the last loss; None before the first block and at equal rates.
        channels: How many channels go through it.
        end_sample: Number of the next output sample.
        lost_samples: Output samples lost right before it.
    """

    stream: soxr.ResampleStream | None = None
    channels: int = 0
    end_sample: int = 0
    lost_samples: int = 0


def resample(state: ResampleState, block: Block | None, spec: FeatureSpec) -> tuple[ResampleState, list[Block | None]]:
    """The resample stage: the next block, or None for the end of the sound, as blocks at the model's rate.

    Returns:
        The state after it, and no, one or (around a loss) two blocks; after the end, None comes last.
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
        state, done = _give(state, narrow, spec)
    else:
        if state.stream is None:
            channels = narrow.shape[0]
            stream = soxr.ResampleStream(block.rate_hz, spec.rate_hz, channels, dtype="float32", quality=_QUALITY)
            state = replace(state, stream=stream, channels=channels)
        assert state.stream is not None
        state, done = _give(state, _in_slices(state.stream, narrow, block.rate_hz // _SLICES_A_SECOND), spec)
    return state, [*drained, *done]


def _in_slices(stream: soxr.ResampleStream, narrow: Samples, slice_samples: int) -> Samples:
    """What the filter gives for samples (C, S). It keeps buffers as long as the longest slice it is given."""
    frames = np.ascontiguousarray(narrow.T)
    slices = [frames[first : first + slice_samples] for first in range(0, max(1, len(frames)), slice_samples)]
    return np.concatenate([stream.resample_chunk(each) for each in slices]).T


def _drain(state: ResampleState, spec: FeatureSpec) -> tuple[ResampleState, list[Block]]:
    """Give what the filter still holds, once nothing more comes."""
    if state.stream is None:
        return state, []
    nothing = np.zeros((0, state.channels), np.float32)
    tail = state.stream.resample_chunk(nothing, last=True).T
    return _give(replace(state, stream=None), tail, spec)


def _skip_to(state: ResampleState, resumed_sample: int) -> ResampleState:
    """Leave out what was lost. The filter's tail may reach a sample past it: time never runs back."""
    lost_samples = max(0, resumed_sample - state.end_sample)
    return replace(state, end_sample=state.end_sample + lost_samples, lost_samples=state.lost_samples + lost_samples)


def _give(state: ResampleState, narrow: Samples, spec: FeatureSpec) -> tuple[ResampleState, list[Block]]:
    """Samples as a block at the stream's end, if there are any, or a loss to tell of."""
    if not narrow.shape[1] and not state.lost_samples:
        return state, []
    samples = read_only(np.ascontiguousarray(narrow, np.float32))
    block = Block(samples, spec.rate_hz, state.end_sample, state.lost_samples)
    return replace(state, end_sample=state.end_sample + samples.shape[1], lost_samples=0), [block]
