"""A student's start: the teacher's own first layers, before the student is trained like any network.

Conventions: the student is a `separable` network as wide as YAMNet, which is built of the same layers; kernels are
(out, in, M, T), bands before frames. Each batch norm is set so that its channel has the mean and the deviation that
the teacher's has on the same training sounds: other frames, another level and another window are made up for that far.
Source: YAMNet is MobileNet v1 with its batch norms folded into biases; its front end is 25 ms frames every 10 ms, 64
mel bands, log(magnitude + 0.001). Starting a student as a part of its teacher is DistilBERT's way (Sanh et al. 2019).
Does not: train, or see a clip that is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import soxr
import torch
from torch import Tensor, nn
from torch.nn import functional

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.data.batches import Reader
from soundwatch.training.data.place import place_first
from soundwatch.training.data.urbansound8k import Clip
from soundwatch.training.distillation.teacher_layers import Layer, Trunk
from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.network import BandScale

SOUNDS: Final = 64
_RATE_HZ: Final = 16000
_FRAME_SAMPLES: Final = 400
_HOP_SAMPLES: Final = 160
_N_FFT: Final = 512
_LOG_OFFSET: Final = 0.001
_QUIETEST: Final = -6.9  # log of the offset: the teacher never heard less
_PEAK: Final = 0.7


def sample_clips(clips: Sequence[Clip], window_samples: int, read: Reader) -> Tensor:
    """Up to `SOUNDS` of the clips, evenly chosen, as windows (N, S)."""
    chosen = clips[:: max(1, len(clips) // SOUNDS)][:SOUNDS]
    return torch.stack([torch.from_numpy(place_first(read(clip)[:1], window_samples)[0]) for clip in chosen])


@torch.no_grad()
def init_from_teacher(network: nn.Sequential, trunk: Trunk, sounds: Tensor, spec: FeatureSpec) -> None:
    """Give a fresh `separable` network the teacher's first layers; its head stays as drawn.

    Args:
        network: In training mode before and after.
        trunk: The teacher's.
        sounds: Training clips (N, S) at the student's rate.
        spec: The student's front end.

    Raises:
        ConfigError: The network is not built like the teacher.
    """
    stages = _stages(network, trunk)
    sounds = sounds * (_PEAK / sounds.abs().amax(dim=1, keepdim=True).clamp(min=1e-5))
    heard = _log_mel(_resampled(sounds, spec.rate_hz), trunk.mel)  # (N, 1, M, T)
    network.eval()
    seen = _start_bands(network, MelFrontEnd(spec).features(sounds[:, None]), heard)
    for (convolution, norm), layer in zip(stages, trunk.layers, strict=False):
        response = _convolve(heard, layer)
        convolution.weight.copy_(layer.kernel)
        seen = _align(norm, convolution(seen), response)
        heard = response.relu()
    network.train()


def _stages(network: nn.Sequential, trunk: Trunk) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """The student's convolutions with their batch norms, held against the teacher's."""
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    seen = [tuple(convolution.weight.shape) for convolution in convolutions]
    wanted = [tuple(layer.kernel.shape) for layer in trunk.layers[: len(seen)]]
    if seen != wanted or not any(isinstance(layer, BandScale) for layer in network):
        raise ConfigError(
            f"start is teacher, and the network's kernels are {seen}; the teacher's first are {wanted}. "
            "Give it `kind: separable` with the teacher's widths, or `start: drawn`."
        )
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm2d)]
    return list(zip(convolutions, norms, strict=True))


def _start_bands(network: nn.Sequential, mel_db: Tensor, heard: Tensor) -> Tensor:
    """Set the offsets of the bands so that their means are the teacher's; returns what the first convolution sees."""
    seen = mel_db
    for layer in network:
        if isinstance(layer, BandScale):
            means = heard.mean(dim=(0, 1, 3)) - layer(seen).mean(dim=(0, 1, 3))
            layer.bias.copy_(means.view(1, 1, -1, 1))
            seen = layer(seen).clamp(min=_QUIETEST)
            break
        seen = layer(seen)
    return seen


def _resampled(sounds: Tensor, rate_hz: int) -> Tensor:
    """Sounds (N, S) at the teacher's rate."""
    return torch.from_numpy(soxr.resample(sounds.T.numpy(), rate_hz, _RATE_HZ).T.copy())


def _log_mel(samples: Tensor, mel: Tensor) -> Tensor:
    """The teacher's front end: samples (N, S) at its rate to (N, 1, M, T)."""
    frames = samples.unfold(-1, _FRAME_SAMPLES, _HOP_SAMPLES) * torch.hann_window(_FRAME_SAMPLES)
    magnitude = torch.fft.rfft(frames, _N_FFT).abs()  # (N, T, F)
    return torch.log(magnitude @ mel.T + _LOG_OFFSET).transpose(1, 2)[:, None]


def _convolve(maps: Tensor, layer: Layer) -> Tensor:
    """The layer's response before its ReLU, padded as TensorFlow's SAME does."""
    if layer.kernel.shape[-1] == 3:
        maps = functional.pad(maps, (1, 1, 1, 1) if layer.stride == 1 else (0, 1, 0, 1))
    groups = len(layer.kernel) if layer.depthwise else 1
    return functional.conv2d(maps, layer.kernel, layer.bias, stride=layer.stride, groups=groups)


def _align(norm: nn.BatchNorm2d, response: Tensor, wanted: Tensor) -> Tensor:
    """Give each channel of a response the mean and deviation of the teacher's; returns what its ReLU leaves."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(response.mean(dim=(0, 2, 3)))
    norm.running_var.copy_(response.var(dim=(0, 2, 3)))
    norm.weight.copy_(wanted.std(dim=(0, 2, 3)))
    norm.bias.copy_(wanted.mean(dim=(0, 2, 3)))
    aligned: Tensor = norm(response).relu()
    return aligned
