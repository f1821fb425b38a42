"""The networks: mel decibels to one logit a class.

Conventions: in, (N, C, M, T) decibels as `MelFrontEnd` and the daemon's mel stage give; out, (N, K)
logits. Normalisation is the first layer, so it travels inside every exported graph, and the head, one linear
layer, is the last. Every module here can be scripted, traced and exported to ONNX with a free batch size.
Source: `blocks` is the reference tutorial's audio classifier; `pooled` a plain 3x3 CNN with mean and max pooling;
`separable` has MobileNet's depthwise-separable layers (Howard et al. 2017), which YAMNet is made of too.
Does not: apply the activation; the exporter adds the one that the contract names.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.training.model.labels import LABELS
from soundwatch.training.model.recipe import BlockCnn, PooledCnn, Recipe, SeparableCnn

_NEPERS_PER_DB: Final = math.log(10) / 20  # decibels of power as natural logarithms of magnitude
_POOL_AND_HEAD: Final = 3  # either kind ends in a pool, a layer without weights and a linear layer


class ExampleNormalisation(nn.Module):
    """Each example less its mean, over its standard deviation or `floor_db` if that is larger.

    Digital silence has standard deviation 0: it comes out as zeros, never as NaN.
    """

    def __init__(self, floor_db: float) -> None:
        super().__init__()
        self.floor_db = floor_db

    def forward(self, mel_db: Tensor) -> Tensor:
        """Normalised (N, C, M, T); mean and population deviation are taken over C, M and T."""
        centred = mel_db - _mean(mel_db)
        deviation_db = _mean(centred.square()).sqrt()
        return centred / deviation_db.clamp(min=self.floor_db)


class PeakNormalisation(nn.Module):
    """Each example less its largest decibel: the same sound is the same at any gain."""

    def forward(self, mel_db: Tensor) -> Tensor:
        """Decibels (N, C, M, T) of 0 and below."""
        return mel_db - mel_db.amax(dim=(1, 2, 3), keepdim=True)


class BandScale(nn.Module):
    """A learned slope and offset for each mel band."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 1, bands, 1), _NEPERS_PER_DB))
        self.bias = nn.Parameter(torch.zeros(1, 1, bands, 1))

    def forward(self, mel_db: Tensor) -> Tensor:
        """Scaled (N, C, M, T)."""
        return mel_db * self.weight + self.bias


def _mean(values: Tensor) -> Tensor:
    """Mean (N, 1, 1, 1), first over frames: ONNX Runtime adds up one by one, and 44,160 decibels lose three digits."""
    return values.mean(dim=3, keepdim=True).mean(dim=(1, 2), keepdim=True)


class MeanMaxPool(nn.Module):
    """(N, W, M, T) to (N, 2 W): mean over bands of the mean, and of the largest, over frames."""

    def forward(self, maps: Tensor) -> Tensor:
        """Pooled features: what the sound is like throughout, and at its clearest moment."""
        bands = maps.mean(dim=2)  # (N, W, T)
        return torch.cat([bands.mean(dim=2), bands.amax(dim=2)], dim=1)


def build_network(recipe: Recipe, classes: int = len(LABELS)) -> nn.Sequential:
    """The recipe's network for K classes with fresh weights, drawn from torch's current random state."""
    spec = recipe.features
    sizes = recipe.network
    if isinstance(sizes, BlockCnn):
        layers, width = _blocks(sizes, spec.channels)
    elif isinstance(sizes, PooledCnn):
        layers, width = _pooled(sizes, spec.channels)
    else:
        layers, width = _separable(sizes, spec.channels, spec.n_mels)
    return nn.Sequential(*_normalisation(spec), *layers, nn.Linear(width, classes))


def _normalisation(spec: FeatureSpec) -> list[nn.Module]:
    """The first layer, if the contract has one."""
    if spec.normalisation == "example":
        return [ExampleNormalisation(spec.normalisation_floor_db)]
    return [PeakNormalisation()] if spec.normalisation == "peak" else []


def maps_of(network: nn.Sequential, mel_db: Tensor) -> Tensor:
    """What the last convolution's block leaves (N, W, M, T)."""
    maps: Tensor = network[:-_POOL_AND_HEAD](mel_db)
    return maps


def pooled_of(network: nn.Sequential, maps: Tensor) -> Tensor:
    """The features (N, P) that the head sees, from maps."""
    pooled: Tensor = network[-_POOL_AND_HEAD:-1](maps)
    return pooled


def logits_of(network: nn.Sequential, pooled: Tensor) -> Tensor:
    """The rest of the way, from pooled features to logits (N, K)."""
    logits: Tensor = network[-1](pooled)
    return logits


def count_parameters(network: nn.Module) -> int:
    """Number of trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())


def _blocks(sizes: BlockCnn, channels: int) -> tuple[list[nn.Module], int]:
    """All layers but the head, and the number of features that they give it."""
    layers: list[nn.Module] = []
    for (narrow, wide), kernel in zip(pairwise((channels, *sizes.widths)), sizes.kernels, strict=True):
        convolution = nn.Conv2d(narrow, wide, kernel, stride=sizes.stride, padding=kernel // 2)
        nn.init.kaiming_normal_(convolution.weight, a=sizes.kaiming_slope)
        assert convolution.bias is not None
        nn.init.zeros_(convolution.bias)
        layers += [convolution, nn.ReLU(), nn.BatchNorm2d(wide)]
    return [*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()], sizes.widths[-1]


def _pooled(sizes: PooledCnn, channels: int) -> tuple[list[nn.Module], int]:
    """All layers but the head, and the number of features that they give it."""
    layers: list[nn.Module] = []
    for (narrow, wide), stride in zip(pairwise((channels, *sizes.widths)), sizes.strides, strict=True):
        layers += _normed(nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False))  # the batch norm has one
    return [*layers, MeanMaxPool(), nn.Dropout(sizes.dropout_share)], 2 * sizes.widths[-1]


def _separable(sizes: SeparableCnn, channels: int, bands: int) -> tuple[list[nn.Module], int]:
    """All layers but the head, and the number of features that they give it."""
    layers: list[nn.Module] = [BandScale(bands)]
    narrow = channels
    for number, (wide, stride) in enumerate(zip(sizes.widths, sizes.strides, strict=True)):
        # A stride of 2 starts at the first band and frame, as in YAMNet. Padded on all sides, four of them would move
        # the bands that a kernel sees by 15, and weights that were learned there would mean little.
        padding = 1 if stride == 1 else 0
        layers += [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
        if number == 0:
            layers += _normed(nn.Conv2d(narrow, wide, 3, stride, padding, bias=False))
        else:
            layers += _normed(nn.Conv2d(narrow, narrow, 3, stride, padding, groups=narrow, bias=False))
            layers += _normed(nn.Conv2d(narrow, wide, 1, bias=False))
        narrow = wide
    return [*layers, MeanMaxPool(), nn.Dropout(sizes.dropout_share)], 2 * narrow


def _normed(convolution: nn.Conv2d) -> list[nn.Module]:
    """A convolution with batch norm and ReLU."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]
