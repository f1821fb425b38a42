"""Blocks to overlapping windows of the model's length.

Conventions: blocks (C, S) at the model's rate in; windows start at whole multiples of
`spec.window_hop_samples` on the stream's clock, whatever the blocks' sizes and whatever was lost.
Rule at the end of the sound: only sound too short for two windows gets windows that reach past its end,
zeros after its last sample, as training saw short clips. In a long recording the sudden silence would be
heard as a bang (tried: a gun shot).
Rule for a loss: zeros stand for the lost samples, and windows that hold some are not `complete`.
Does not: judge what an incomplete window is worth (`detection/decide.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.types import Block, Samples, Window, read_only


@dataclass(frozen=True, slots=True)
class WindowState:
    """Where a stream stands between two blocks.

    Attributes:
        pieces: Sound from `first_sample` on, in order; each (C, S), or (1, S) of a mono signal.
        first_sample: Where the next window starts.
        end_sample: Number of the next sample to come.
        lost_until: Number of the sample after the last lost one; 0 if none was lost.
    """

    pieces: tuple[Samples, ...] = ()
    first_sample: int = 0
    end_sample: int = 0
    lost_until: int = 0


def window(state: WindowState, block: Block | None, spec: FeatureSpec) -> tuple[WindowState, list[Window]]:
    """The window stage: the next block, or None for the end of the sound.

    Returns:
        The state after it, and the windows that are now full, oldest first.
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
    """Take off the front every window that is full."""
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
    if 2 * rest.shape[1] < sound.shape[1]:  # a view keeps all of `sound` alive: a hop more, which is less than a copy
        rest = rest.copy()
    return replace(state, pieces=(rest,), first_sample=state.first_sample + first), windows


def _lose(state: WindowState, block: Block, spec: FeatureSpec) -> tuple[WindowState, list[Window]]:
    """Put zeros for what was lost before a block; a loss longer than a window passes over the windows inside it."""
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
    """The first two windows, as far as they reach past the end of the sound and hold a hop of it."""
    windows: list[Window] = []
    first_sample = state.first_sample
    while first_sample <= spec.window_hop_samples:
        heard = state.end_sample - first_sample
        if heard < (spec.window_hop_samples if first_sample else 1):
            break
        sound = np.concatenate(state.pieces, axis=1)[:, -heard:]
        samples = np.zeros((sound.shape[0], spec.window_samples), np.float32)
        samples[:, :heard] = sound
        windows.append(Window(read_only(samples), first_sample, heard, first_sample >= state.lost_until))
        first_sample += spec.window_hop_samples
    return windows


def level_dbfs(window: Window) -> float | None:
    """Level of the heard part of a window."""
    heard = window.samples[:, : window.valid_samples].ravel()
    power = float(np.dot(heard, heard)) / max(heard.size, 1)
    return 10 * math.log10(power) if power > 0 else None
