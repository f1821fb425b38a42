"""Overlapping windows of the model's length, cut from blocks.

Conventions: blocks (C, S) at the model's rate in; windows start at whole multiples of
`spec.window_hop_samples` on the stream's clock, whatever the blocks' sizes and whatever was lost.
Rule at the end of the sound: only sound too short for two windows gets windows that extend past its end,
padded with zeros, as short clips in training. In a long recording the sudden silence would be
classified as a bang (observed: a gun shot).
Rule for a loss: zeros replace the lost samples, and windows that contain some are not `complete`.
Does not: decide how an incomplete window counts (`detection/decide.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Block, Samples, read_only
from soundwatch.daemon.core.records.window import Window


@dataclass(frozen=True, slots=True)
class WindowState:
    """State of a stream between two blocks.

    Attributes:
        pieces: Samples from `first_sample` on, in order; each (C, S), or (1, S) of a mono signal.
        first_sample: Start of the next window.
        end_sample: Number of the next sample to arrive.
        lost_until: Number of the sample after the last lost one; 0 if none was lost.
    """

    pieces: tuple[Samples, ...] = ()
    first_sample: int = 0
    end_sample: int = 0
    lost_until: int = 0


def window(state: WindowState, block: Block | None, spec: FeatureSpec) -> tuple[WindowState, list[Window]]:
    """Add the next block, or None for the end of the sound: the window stage.

    Returns:
        The next state, and the windows that are now full, oldest first.
    """
    if block is None:
        return state, _last_windows(state, spec)
    before: list[Window] = []
    if block.lost_samples:
        state, before = _lose(state, block, spec)
    end_sample = state.end_sample + block.samples.shape[1]
    state, after = _cut(replace(state, pieces=(*state.pieces, block.samples), end_sample=end_sample), spec)
    return state, before + after


def _cut(state: WindowState, spec: FeatureSpec) -> tuple[WindowState, list[Window]]:
    """Cut all full windows."""
    if state.end_sample - state.first_sample < spec.window_samples:
        return state, []
    sound = np.concatenate(state.pieces, axis=1)  # (C, end_sample - first_sample)
    windows = []
    first = 0
    while sound.shape[1] - first >= spec.window_samples:
        samples = read_only(sound[:, first : first + spec.window_samples])
        first_sample = state.first_sample + first
        windows.append(Window(samples, first_sample, spec.window_samples, first_sample >= state.lost_until))
        first += spec.window_hop_samples
    rest = sound[:, first:]
    if 2 * rest.shape[1] < sound.shape[1]:  # a view keeps all of `sound` alive; for one hop that is cheaper than a copy
        rest = rest.copy()
    return replace(state, pieces=(rest,), first_sample=state.first_sample + first), windows


def _lose(state: WindowState, block: Block, spec: FeatureSpec) -> tuple[WindowState, list[Window]]:
    """Insert zeros for samples lost before a block; a loss longer than a window skips the windows inside it."""
    channels, lost_samples = block.samples.shape[0], block.lost_samples
    resumed = state.end_sample + lost_samples
    filled = min(lost_samples, spec.window_samples)
    zeros = np.zeros((channels, filled), np.float32)
    state = replace(state, pieces=(*state.pieces, zeros), end_sample=state.end_sample + filled, lost_until=resumed)
    state, windows = _cut(state, spec)
    if lost_samples > filled:
        passed = (resumed - spec.window_samples - state.first_sample) // spec.window_hop_samples + 1
        first_sample = state.first_sample + max(0, passed) * spec.window_hop_samples
        zeros = np.zeros((channels, resumed - first_sample), np.float32)
        state = replace(state, pieces=(zeros,), first_sample=first_sample, end_sample=resumed)
    return state, windows


def _last_windows(state: WindowState, spec: FeatureSpec) -> list[Window]:
    """Pad the first two windows if they extend past the end of the sound and hold at least a hop of it."""
    windows: list[Window] = []
    first_sample = state.first_sample
    while first_sample <= spec.window_hop_samples:
        valid = state.end_sample - first_sample
        if valid < (spec.window_hop_samples if first_sample else 1):
            break
        sound = np.concatenate(state.pieces, axis=1)[:, -valid:]
        samples = np.zeros((sound.shape[0], spec.window_samples), np.float32)
        samples[:, :valid] = sound
        windows.append(Window(read_only(samples), first_sample, valid, first_sample >= state.lost_until))
        first_sample += spec.window_hop_samples
    return windows


def level_dbfs(window: Window) -> float | None:
    """Compute the level of a window's valid samples; None for digital silence."""
    valid = window.samples[:, : window.valid_samples].ravel()
    power = float(np.dot(valid, valid)) / max(valid.size, 1)
    return 10 * math.log10(power) if power > 0 else None
