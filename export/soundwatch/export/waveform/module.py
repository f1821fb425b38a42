"""Waveform model as a torch module: samples in, scores of each window out.

Conventions: as `graph.py`: in, (C', S) float32 at the filter's rate; out, (windows, K) in [0, 1].
Does not: verify (`export.py`).
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from soundwatch.daemon.core.model.contract import WAVEFORM_KEY, ModelContract
from soundwatch.export.waveform.constants import mel_weights, spectrum_weights
from soundwatch.export.waveform.resampling import ResamplingFilter

_DECIBELS_PER_NEPER: Final = 10 / math.log(10)


class WaveformModel(nn.Module):
    """Channels, resampling, windows, mel decibels, network and activation in one module."""

    if TYPE_CHECKING:  # torch.jit.script cannot read annotations that are text
        filter: Tensor
        spectrum: Tensor
        mel: Tensor

    def __init__(self, network: nn.Module, contract: ModelContract, filters: ResamplingFilter) -> None:
        super().__init__()
        spec = contract.features
        self.network = network
        self.is_softmax = contract.activation == "softmax"
        self.channels = spec.channels
        self.inputs, self.outputs, self.half_samples = filters.inputs, filters.outputs, filters.half_samples
        self.window_samples, self.window_hop_samples = spec.window_samples, spec.window_hop_samples
        self.half_frame, self.hop_samples, self.bands = spec.n_fft // 2, spec.hop_samples, spec.n_mels
        self.power_floor = spec.power_floor
        self.top_db = math.inf if spec.top_db is None else float(spec.top_db)
        self.decibels_per_neper = _DECIBELS_PER_NEPER
        self.register_buffer("filter", torch.ones(1) if filters.weights is None else torch.tensor(filters.weights))
        self.register_buffer("spectrum", torch.tensor(spectrum_weights(spec)))
        self.register_buffer("mel", torch.tensor(mel_weights(spec)))

    def forward(self, samples: Tensor) -> Tensor:
        """Compute scores (windows, K) of samples (C', S)."""
        windows = self.cut_windows(self.resample(self.mix_channels(samples)))  # (C, N, S of one window)
        logits = self.network(self.mel_db(windows.transpose(0, 1).contiguous()))
        scores: Tensor = logits.softmax(dim=1) if self.is_softmax else logits.sigmoid()
        return scores

    def mix_channels(self, samples: Tensor) -> Tensor:
        """Average the channels, unless they are as many as the model's: (C, S)."""
        if samples.shape[0] == self.channels:
            return samples
        return samples.mean(dim=0, keepdim=True).expand(self.channels, -1)

    def resample(self, samples: Tensor) -> Tensor:
        """Convert (C, S) to the model's rate: (C, S')."""
        if self.inputs == self.outputs:
            return samples
        given = samples.shape[1]
        wanted = max((2 * given * self.outputs + self.inputs) // (2 * self.inputs), 1)
        strides = (wanted + self.outputs - 1) // self.outputs
        after = self.half_samples + strides * self.inputs - given
        padded = nn.functional.pad(samples[:, None], (self.half_samples, after))
        found = nn.functional.conv1d(padded, self.filter, stride=self.inputs)  # (C, outputs, strides)
        return found.transpose(1, 2).reshape(self.channels, -1)[:, :wanted]

    def cut_windows(self, samples: Tensor) -> Tensor:
        """Cut (C, S) into windows (C, N, S of one window) by the rule of `frontend/window.py`."""
        given = samples.shape[1]
        full = (given - self.window_samples) // self.window_hop_samples + 1
        windows = max(full, 2 if given >= 2 * self.window_hop_samples else 1)
        end = (windows - 1) * self.window_hop_samples + self.window_samples
        padded = nn.functional.pad(samples, (0, max(0, end - given)))
        return padded[:, :end].unfold(1, self.window_samples, self.window_hop_samples)

    def mel_db(self, windows: Tensor) -> Tensor:
        """Compute mel decibels (N, C, M, T) of windows (N, C, S), as `frontend/mel.py`."""
        signals = windows.reshape(-1, 1, self.window_samples)
        mirrored = nn.functional.pad(signals, (self.half_frame, self.half_frame), mode="reflect")
        squared = nn.functional.conv1d(mirrored, self.spectrum, stride=self.hop_samples).square()  # (N C, 2 F, T)
        cosines, sines = squared.chunk(2, dim=1)
        mel_power = torch.matmul(self.mel, cosines + sines)  # (N C, M, T)
        decibels = mel_power.clamp(min=self.power_floor).log() * self.decibels_per_neper
        mel_db = decibels.reshape(-1, self.channels, self.bands, decibels.shape[2])
        return torch.maximum(mel_db, mel_db.amax(dim=(1, 2, 3), keepdim=True) - self.top_db)


def to_waveform_torchscript(module: WaveformModel, about: Mapping[str, object]) -> bytes:
    """Return the content of a TorchScript file; each value of `about` is an extra file, as JSON."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        # torch deprecates all of torch.jit in favour of torch.export; TorchScript is what this format is.
        warnings.filterwarnings("ignore", r"`torch\.jit\.(script|save)` is deprecated", DeprecationWarning)
        script = torch.jit.script(module.eval())
        torch.jit.save(script, content, _extra_files={WAVEFORM_KEY: json.dumps(about)})
    return content.getvalue()
