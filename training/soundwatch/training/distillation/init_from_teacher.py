"""Initialization of a student from the teacher's first layers.

Conventions: the student is a `separable` network with YAMNet's widths and kinds of layers; kernels are
(out, in, M, T), bands before frames. Each batch norm is set so that its channel has the mean and deviation of
the teacher's channel on the training sounds. This corrects other frames, levels and windows to that extent.
Source: YAMNet is MobileNet v1 with its batch norms folded into biases; its front end is 25 ms frames every 10 ms, 64
mel bands, log(magnitude + 0.001). DistilBERT initializes a student from its teacher too (Sanh et al. 2019).
Does not: train, or use a test clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import soxr
import torch
from torch import Tensor, nn
from torch.nn import functional

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.training.data.audio.place import place_first
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.batches import Reader
from soundwatch.training.distillation.teacher_layers import Layer, Trunk
from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.network import BandScale

SOUNDS: Final = 64
_RATE_HZ: Final = 16000
_FRAME_SAMPLES: Final = 400
_HOP_SAMPLES: Final = 160
_N_FFT: Final = 512
_LOG_OFFSET: Final = 0.001
_QUIETEST: Final = -6.9  # log of the offset: the minimum of the teacher's input
_PEAK: Final = 0.7


def sample_clips(clips: Sequence[Clip], window_samples: int, read: Reader) -> Tensor:
    """Return up to `SOUNDS` evenly selected clips as windows (N, S)."""
    chosen = clips[:: max(1, len(clips) // SOUNDS)][:SOUNDS]
    return torch.stack([torch.from_numpy(place_first(read(clip)[:1], window_samples)[0]) for clip in chosen])


@torch.no_grad()
def init_from_teacher(network: nn.Sequential, trunk: Trunk, sounds: Tensor, spec: FeatureSpec) -> None:
    """Load the teacher's first layers into a new `separable` network; its head keeps its random weights.

    Args:
        network: Student network, in training mode before and after.
        trunk: Layers of the teacher.
        sounds: Training clips (N, S) at the student's rate.
        spec: Front end of the student.

    Raises:
        ConfigError: The network has another structure than the teacher.
    """
    stages = _stages(network, trunk)
    sounds = sounds * (_PEAK / sounds.abs().amax(dim=1, keepdim=True).clamp(min=1e-5))
    teacher_maps = _log_mel(_resampled(sounds, spec.rate_hz), trunk.mel)  # (N, 1, M, T)
    network.eval()
    student_maps = _start_bands(network, MelFrontEnd(spec).features(sounds[:, None]), teacher_maps)
    for (convolution, norm), layer in zip(stages, trunk.layers, strict=False):
        response = _convolve(teacher_maps, layer)
        convolution.weight.copy_(_fitted(layer.kernel, convolution))
        student_maps = _align(norm, convolution(student_maps), response)
        teacher_maps = response.relu()
    network.train()


def _stages(network: nn.Sequential, trunk: Trunk) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return the student's convolutions with their batch norms, after a comparison with the teacher's."""
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    student_maps = [tuple(convolution.weight.shape) for convolution in convolutions]
    layers = zip(trunk.layers, convolutions, strict=False)
    wanted = [tuple(_fitted(layer.kernel, convolution).shape) for layer, convolution in layers]
    if student_maps != wanted or not any(isinstance(layer, BandScale) for layer in network):
        raise ConfigError(
            f"start is teacher, and the network's kernels are {student_maps}; the teacher's first are {wanted}. "
            "Give it `kind: separable` with the teacher's widths, or `start: drawn`."
        )
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm2d)]
    return list(zip(convolutions, norms, strict=True))


def _fitted(kernel: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Return the teacher's kernel, added up over frames for a convolution that covers one frame."""
    return kernel.sum(dim=3, keepdim=True) if convolution.kernel_size[1] == 1 else kernel


def _start_bands(network: nn.Sequential, mel_db: Tensor, teacher_maps: Tensor) -> Tensor:
    """Set the offsets of the bands to match the teacher's means, and return the input of the first convolution."""
    student_maps = mel_db
    for layer in network:
        if isinstance(layer, BandScale):
            means = teacher_maps.mean(dim=(0, 1, 3)) - layer(student_maps).mean(dim=(0, 1, 3))
            layer.bias.copy_(means.view(1, 1, -1, 1))
            student_maps = layer(student_maps).clamp(min=_QUIETEST)
            break
        student_maps = layer(student_maps)
    return student_maps


def _resampled(sounds: Tensor, rate_hz: int) -> Tensor:
    """Resample sounds (N, S) to the teacher's rate."""
    return torch.from_numpy(soxr.resample(sounds.T.numpy(), rate_hz, _RATE_HZ).T.copy())


def _log_mel(samples: Tensor, mel: Tensor) -> Tensor:
    """Compute the teacher's front end: samples (N, S) at its rate to (N, 1, M, T)."""
    frames = samples.unfold(-1, _FRAME_SAMPLES, _HOP_SAMPLES) * torch.hann_window(_FRAME_SAMPLES)
    magnitude = torch.fft.rfft(frames, _N_FFT).abs()  # (N, T, F)
    return torch.log(magnitude @ mel.T + _LOG_OFFSET).transpose(1, 2)[:, None]


def _convolve(maps: Tensor, layer: Layer) -> Tensor:
    """Compute the response of a layer before its ReLU, with TensorFlow's SAME padding."""
    if layer.kernel.shape[-1] == 3:
        maps = functional.pad(maps, (1, 1, 1, 1) if layer.stride == 1 else (0, 1, 0, 1))
    groups = len(layer.kernel) if layer.depthwise else 1
    return functional.conv2d(maps, layer.kernel, layer.bias, stride=layer.stride, groups=groups)


def _align(norm: nn.BatchNorm2d, response: Tensor, wanted: Tensor) -> Tensor:
    """Set the batch norm to give each channel the teacher's mean and deviation, and return the output of its ReLU."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(response.mean(dim=(0, 2, 3)))
    norm.running_var.copy_(response.var(dim=(0, 2, 3)))
    norm.weight.copy_(wanted.std(dim=(0, 2, 3)))
    norm.bias.copy_(wanted.mean(dim=(0, 2, 3)))
    aligned: Tensor = norm(response).relu()
    return aligned
