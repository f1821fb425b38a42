"""Streaming form of a network: each layer computes every frame of a signal once, and keeps what the next block needs.

Conventions: in, mel decibels (B, C, M, n * step) relative to the reference level, at least `FLOOR_DB`, and one state
for each convolution over frames and for the pooling; out, logits of frames (B, n, K) and the next states. A stream
starts with states of zeros. Frame j depends on the mel frames from `step * (j + 1) - warm_up` to `step * (j + 1)`, so
any division of a signal into blocks gives equal logits, and earlier frames than `warm_up` are not exact.
Only `separable` networks without time padding have this form; their normalization layer is replaced by the reference.
Does not: compute the reference (the front end does), or pool the scores of frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.model.map_times import receptive_field
from soundwatch.training.model.network import BandScale, MeanMaxPool
from soundwatch.training.model.network_recipe import SeparableCnn
from soundwatch.training.model.recipe import Recipe

FLOOR_DB = -80.0
_TIME_AXIS = 3


class StreamingNetwork(nn.Module):
    """Streaming form of a trained network.

    Args:
        network: Network of the recipe, in eval mode.
        recipe: Recipe of the network.

    Attributes:
        step: Mel frames per frame of the output.
        warm_up: Mel frames from the start of a stream until the scores are exact.
        input_shape: (C, M, step) of the input of one frame.

    Raises:
        ConfigError: The network pads the frames of a window, scores recent frames apart, or is not `separable`.
    """

    def __init__(self, network: nn.Sequential, recipe: Recipe) -> None:
        super().__init__()
        sizes = recipe.network
        if not isinstance(sizes, SeparableCnn) or sizes.time_padding or sizes.recent_frames:
            raise ConfigError(
                f"Recipe {recipe.name} has no streaming form; a separable network with time_padding: false and no "
                "recent_frames was expected."
            )
        layers = list(network)
        while not isinstance(layers[0], BandScale):  # the reference replaces the normalization
            layers.pop(0)
        place = next(place for place, layer in enumerate(layers) if isinstance(layer, MeanMaxPool))
        self.layers, self.head = nn.ModuleList(layers[:place]), layers[-1]
        field, spec = receptive_field(sizes), recipe.features
        self.step = field.step
        self.pooled = (spec.n_frames - field.covered) // field.step + 1
        self.warm_up = field.covered + (self.pooled - 1) * field.step
        self.input_shape = (spec.channels, spec.n_mels, self.step)

    @torch.no_grad()
    def initial_states(self, batch: int = 1) -> list[Tensor]:
        """Return the states of the start of B streams: zeros."""
        states = [torch.zeros(0)] * (sum(_kept(layer) > 0 for layer in self.layers) + 1)
        shapes: list[tuple[int, ...]] = []
        maps = torch.zeros(batch, *self.input_shape)
        for layer in self.layers:
            kept = _kept(layer)
            if kept:
                shapes.append((*maps.shape[:_TIME_AXIS], kept))
                maps = nn.functional.pad(maps, (kept, 0))
            maps = layer(maps)
        shapes.append((batch, maps.shape[1], self.pooled - 1))
        return [torch.zeros(shape) for shape in shapes[: len(states)]]

    def forward(self, features: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Compute logits (B, n, K) of features (B, C, M, n * step), followed by the next states."""
        maps, following, waiting = features.clamp(min=FLOOR_DB), list[Tensor](), list(states)
        for layer in self.layers:
            kept = _kept(layer)
            if kept:
                maps = torch.cat([waiting.pop(0), maps], dim=_TIME_AXIS)
                following.append(maps[..., -kept:])
            maps = layer(maps)
        bands = torch.cat([waiting.pop(0), maps.mean(dim=2)], dim=2)  # (B, W, pooled - 1 + n)
        following.append(bands[..., 1 - self.pooled :])
        mean = nn.functional.avg_pool1d(bands, self.pooled, 1)
        highest = nn.functional.max_pool1d(bands, self.pooled, 1)
        return (self.head(torch.cat([mean, highest], dim=1).transpose(1, 2)), *following)


def _kept(layer: nn.Module) -> int:
    """Return the number of input frames that a layer keeps for its next block: 0 for a layer of one frame."""
    if not isinstance(layer, nn.Conv2d) or layer.kernel_size[1] == 1:
        return 0
    return layer.kernel_size[1] - layer.stride[1]


def stream(network: StreamingNetwork, features: Tensor, blocks: Sequence[int]) -> Tensor:
    """Compute logits (B, n, K) of features (B, C, M, n * step) in blocks of these numbers of output frames."""
    states, logits, first = network.initial_states(len(features)), list[Tensor](), 0
    for count in blocks:
        block = features[..., first * network.step : (first + count) * network.step]
        frames, *states = network(block, *states)
        logits.append(frames)
        first += count
    return torch.cat(logits, dim=1)
