"""Times of a network's maps: the mel frames under each of their frames.

Conventions: with padding, the T frames of the maps divide the window evenly. Without padding, frame t covers the
`covered` mel frames from `t * step` on.
Does not: build networks (`network.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundwatch.training.model.network_recipe import SeparableCnn
from soundwatch.training.model.recipe import Recipe


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """Mel frames under one frame of the maps.

    Attributes:
        covered: Number of mel frames.
        step: Distance of two frames of the maps in mel frames.
    """

    covered: int
    step: int


def receptive_field(sizes: SeparableCnn) -> ReceptiveField:
    """Compute the receptive field of a network's layers over frames."""
    covered, step = 1, 1
    for number, stride in enumerate(sizes.strides):
        kernel = 1 if number >= len(sizes.strides) - sizes.instant_layers else 3
        covered += (kernel - 1) * step
        step *= stride
    return ReceptiveField(covered, step)


def map_edges_s(recipe: Recipe, frames: int) -> NDArray[np.float64]:
    """Compute the start of each of the T frames of the maps in a window, and the end of the last (T + 1,).

    Without padding, an edge lies between the centers of two frames, and the first and last edge at the window's ends.
    """
    spec = recipe.features
    window_s = spec.window_samples / spec.rate_hz
    if not isinstance(recipe.network, SeparableCnn) or recipe.network.time_padding:
        return np.asarray(np.arange(frames + 1) * (window_s / frames), np.float64)
    field = receptive_field(recipe.network)
    centers_s = ((field.covered - 1) / 2 + field.step * np.arange(frames)) * spec.hop_samples / spec.rate_hz
    return np.concatenate([[0.0], (centers_s[1:] + centers_s[:-1]) / 2, [window_s]])
