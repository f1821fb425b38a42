"""Networks: mel decibels to one logit per class.

Conventions: in, (N, C, M, T) decibels from `MelFrontEnd` or the daemon's mel stage; out, (N, K)
logits. Normalization is the first layer, so every exported graph contains it. The head, one linear
layer, is the last. Every module here can be scripted, traced and exported to ONNX with a free batch size.
Source: `blocks` is the reference tutorial's audio classifier; `pooled` a plain 3x3 CNN with mean and max pooling;
`separable` has MobileNet's depthwise-separable layers (Howard et al. 2017), as YAMNet has.
Does not: apply the activation; the exporter adds the activation of the contract.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.training.model.labels import LABELS
from soundwatch.training.model.network_recipe import BlockCnn, PooledCnn, SeparableCnn
from soundwatch.training.model.recipe import Recipe

_NEPERS_PER_DB: Final = math.log(10) / 20  # decibels of power as natural logarithms of magnitude
_POOL_AND_HEAD: Final = 3  # both kinds end in a pool, a layer without weights and a linear layer


class ExampleNormalisation(nn.Module):
    """Normalization of each example by its mean and its standard deviation, which is at least `floor_db`.

    Digital silence has standard deviation 0: the output is zeros, never NaN.
    """

    def __init__(self, floor_db: float) -> None:
        super().__init__()
        self.floor_db = floor_db

    def forward(self, mel_db: Tensor) -> Tensor:
        """Normalize (N, C, M, T); mean and population deviation are taken over C, M and T."""
        centered = mel_db - _mean(mel_db)
        deviation_db = _mean(centered.square()).sqrt()
        return centered / deviation_db.clamp(min=self.floor_db)


class PeakNormalisation(nn.Module):
    """Normalization of each example by its largest decibel: the output does not depend on gain."""

    def forward(self, mel_db: Tensor) -> Tensor:
        """Return decibels (N, C, M, T) of at most 0."""
        return mel_db - mel_db.amax(dim=(1, 2, 3), keepdim=True)


class BandScale(nn.Module):
    """Learned slope and offset for each mel band."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 1, bands, 1), _NEPERS_PER_DB))
        self.bias = nn.Parameter(torch.zeros(1, 1, bands, 1))

    def forward(self, mel_db: Tensor) -> Tensor:
        """Scale (N, C, M, T)."""
        return mel_db * self.weight + self.bias


def _mean(values: Tensor) -> Tensor:
    """Compute the mean (N, 1, 1, 1), first over frames.

    ONNX Runtime adds values one by one, and a sum of 44,160 decibels loses three digits.
    """
    return values.mean(dim=3, keepdim=True).mean(dim=(1, 2), keepdim=True)


class MeanMaxPool(nn.Module):
    """Pooling of (N, W, M, T) to (N, 2 W): mean over bands, then mean and maximum over frames.

    Args:
        recent_frames: Number of last frames that are pooled a second time outside training; 0 pools only once.
    """

    def __init__(self, recent_frames: int = 0) -> None:
        super().__init__()
        self.recent_frames = recent_frames

    def forward(self, maps: Tensor) -> Tensor:
        """Pool the maps (N, W, M, T) to features (N, 2 W), or (N, 2, 2 W) of all and of the recent frames."""
        bands = maps.mean(dim=2)  # (N, W, T)
        whole = torch.cat([bands.mean(dim=2), bands.amax(dim=2)], dim=1)
        if self.training or self.recent_frames == 0:
            return whole
        recent = bands[:, :, -self.recent_frames :]
        return torch.stack([whole, torch.cat([recent.mean(dim=2), recent.amax(dim=2)], dim=1)], dim=1)


class RecentHead(nn.Linear):
    """Linear head for one or two poolings of a window: the higher logit of all and of the recent frames."""

    def forward(self, pooled: Tensor) -> Tensor:
        """Compute logits (N, K) of features (N, P) or (N, 2, P)."""
        if pooled.dim() == 2:
            return nn.functional.linear(pooled, self.weight, self.bias)
        whole = nn.functional.linear(pooled[:, 0], self.weight, self.bias)
        return torch.maximum(whole, nn.functional.linear(pooled[:, 1], self.weight, self.bias))


def build_network(recipe: Recipe, classes: int = len(LABELS)) -> nn.Sequential:
    """Build the recipe's network for K classes with random weights from torch's current random state."""
    spec = recipe.features
    sizes = recipe.network
    if isinstance(sizes, BlockCnn):
        layers, width = _blocks(sizes, spec.channels)
    elif isinstance(sizes, PooledCnn):
        layers, width = _pooled(sizes, spec.channels)
    else:
        layers, width = _separable(sizes, spec.channels, spec.n_mels)
    recent = isinstance(sizes, SeparableCnn) and sizes.recent_frames > 0
    head = RecentHead(width, classes) if recent else nn.Linear(width, classes)
    return nn.Sequential(*_normalisation(spec), *layers, head)


def _normalisation(spec: FeatureSpec) -> list[nn.Module]:
    """Build the normalization layer, if the contract has one."""
    if spec.normalisation == "example":
        return [ExampleNormalisation(spec.normalisation_floor_db)]
    return [PeakNormalisation()] if spec.normalisation == "peak" else []


def maps_of(network: nn.Sequential, mel_db: Tensor) -> Tensor:
    """Compute the output of the last convolution block (N, W, M, T)."""
    maps: Tensor = network[:-_POOL_AND_HEAD](mel_db)
    return maps


def pooled_of(network: nn.Sequential, maps: Tensor) -> Tensor:
    """Compute the input features of the head (N, P), or (N, 2, P) outside training, from maps (N, W, M, T)."""
    pooled: Tensor = network[-_POOL_AND_HEAD:-1](maps)
    return pooled


def logits_of(network: nn.Sequential, pooled: Tensor) -> Tensor:
    """Compute logits (N, K) from pooled features (N, P) or (N, 2, P)."""
    logits: Tensor = network[-1](pooled)
    return logits


def reset_head(network: nn.Sequential) -> None:
    """Set the head to zeros, so that a trained head holds nothing of random weights."""
    for parameter in network[-1].parameters():
        nn.init.zeros_(parameter)


def count_parameters(network: nn.Module) -> int:
    """Count the trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def _blocks(sizes: BlockCnn, channels: int) -> tuple[list[nn.Module], int]:
    """Build all layers but the head, and return them with the head's number of input features."""
    layers: list[nn.Module] = []
    for (narrow, wide), kernel in zip(pairwise((channels, *sizes.widths)), sizes.kernels, strict=True):
        convolution = nn.Conv2d(narrow, wide, kernel, stride=sizes.stride, padding=kernel // 2)
        nn.init.kaiming_normal_(convolution.weight, a=sizes.kaiming_slope)
        assert convolution.bias is not None
        nn.init.zeros_(convolution.bias)
        layers += [convolution, nn.ReLU(), nn.BatchNorm2d(wide)]
    return [*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()], sizes.widths[-1]


def _pooled(sizes: PooledCnn, channels: int) -> tuple[list[nn.Module], int]:
    """Build all layers but the head, and return them with the head's number of input features."""
    layers: list[nn.Module] = []
    for (narrow, wide), stride in zip(pairwise((channels, *sizes.widths)), sizes.strides, strict=True):
        layers += _normed(nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False))  # the batch norm has one
    return [*layers, MeanMaxPool(), nn.Dropout(sizes.dropout_share)], 2 * sizes.widths[-1]


def _separable(sizes: SeparableCnn, channels: int, bands: int) -> tuple[list[nn.Module], int]:
    """Build all layers but the head, and return them with the head's number of input features."""
    layers: list[nn.Module] = [BandScale(bands)]
    narrow = channels
    first_instant = len(sizes.widths) - sizes.instant_layers
    for number, (wide, stride) in enumerate(zip(sizes.widths, sizes.strides, strict=True)):
        # A stride of 2 starts at the first band and frame, as in YAMNet. With padding on all sides, four of them would
        # shift the bands under a kernel by 15, and YAMNet's weights would not fit.
        kernel = (3, 1 if number >= first_instant else 3)
        frames = int(sizes.time_padding and kernel[1] == 3)
        padding = (1, frames) if stride == 1 else (0, 0)
        layers += [nn.ZeroPad2d((0, frames, 0, 1))] if stride == 2 else []
        if number == 0:
            layers += _normed(nn.Conv2d(narrow, wide, kernel, stride, padding, bias=False))
        else:
            layers += _normed(nn.Conv2d(narrow, narrow, kernel, stride, padding, groups=narrow, bias=False))
            layers += _normed(nn.Conv2d(narrow, wide, 1, bias=False))
        narrow = wide
    return [*layers, MeanMaxPool(sizes.recent_frames), nn.Dropout(sizes.dropout_share)], 2 * narrow


def _normed(convolution: nn.Conv2d) -> list[nn.Module]:
    """Return a convolution with batch norm and ReLU."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]
