"""Section of a recipe with the kind and the sizes of its network.

Conventions: as in `recipe.py`, whose `network` section this is. A network has one kernel, width and stride per layer.
Does not: build networks (`model/network.py`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.model.ranges import AT_LEAST_0, AT_LEAST_1, BELOW_1, ODD, refuse_outside


class BlockCnn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="blocks"):
    """Network of the tutorial: blocks of convolution, ReLU and batch norm, then a mean over bands and frames.

    Attributes:
        widths: Output channels of each block.
        kernels: Side of each block's square kernel, odd; padded to keep the size before its stride.
        stride: Stride of every block, over bands and frames.
        kaiming_slope: Parameter `a` of Kaiming initialization.
    """

    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    stride: int
    kaiming_slope: float

    def __post_init__(self) -> None:
        refuse_outside(self, "network", widths=AT_LEAST_1, kernels=ODD, stride=AT_LEAST_1, kaiming_slope=AT_LEAST_0)
        if len(self.widths) != len(self.kernels):
            raise ConfigError(f"widths {self.widths} and kernels {self.kernels} must be equally many, one per block.")


class PooledCnn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="pooled"):
    """3x3 convolutions with batch norm before ReLU, then mean and max over frames and bands, then one linear layer.

    Attributes:
        widths: Output channels of each convolution.
        strides: Stride of each convolution, over bands and frames.
        dropout_share: Dropout of the pooled features in training.
    """

    widths: tuple[int, ...]
    strides: tuple[int, ...]
    dropout_share: float

    def __post_init__(self) -> None:
        refuse_outside(self, "network", widths=AT_LEAST_1, strides=AT_LEAST_1, dropout_share=BELOW_1)
        if len(self.widths) != len(self.strides):
            raise ConfigError(f"widths {self.widths} and strides {self.strides} must be equally many, one per layer.")


class SeparableCnn(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="separable",
):
    """Slope and offset per band, a 3x3 convolution, depthwise-separable layers, then the pooling of `pooled`.

    Attributes:
        widths: Output channels of the convolution, then of each layer.
        strides: Stride of each, 1 or 2, over bands and frames.
        dropout_share: Dropout of the pooled features in training.
        time_padding: True pads the frames at both ends of a window. False computes only maps that depend on frames of
            the signal, so a stream of windows shares them.
        instant_layers: Number of last layers whose kernels cover one frame instead of three.
        recent_frames: Number of last frames of the maps that are scored a second time, alone; a class has the higher
            of both scores, so a sound at the end of a window counts as soon as it fills these frames. Training uses
            all frames. 0 leaves this out.
    """

    widths: tuple[int, ...]
    strides: tuple[Literal[1, 2], ...]
    dropout_share: float
    time_padding: bool = True
    instant_layers: int = 0
    recent_frames: int = 0

    def __post_init__(self) -> None:
        refuse_outside(self, "network", widths=AT_LEAST_1, dropout_share=BELOW_1, recent_frames=AT_LEAST_0)
        if len(self.widths) != len(self.strides):
            raise ConfigError(f"widths {self.widths} and strides {self.strides} must be equally many, one per layer.")
        instant_strides = self.strides[len(self.strides) - self.instant_layers :]
        if not 0 <= self.instant_layers < len(self.strides) or 2 in instant_strides:
            raise ConfigError(
                f"instant_layers is {self.instant_layers} of {len(self.strides)} layers with strides {self.strides}; "
                "fewer than all were expected, each with stride 1."
            )
