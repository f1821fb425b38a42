"""Samples to mel decibels in torch: the front end that training and export see.

Conventions: in, (N, C, S) float32 in -1 to 1 at `spec.rate_hz`; out, (N, C, M, T) float32 decibels,
`top_db` below each example's own peak. C may be 1 where `spec.channels` is more: the one channel is
computed once and repeated, as `resample_clip` would have repeated its samples.
Source: torchaudio's MelSpectrogram and AmplitudeToDB, built from the model's `FeatureSpec`. A parity
test holds it to within 1e-3 dB of `soundwatch.daemon.mel`, which is what runs at the microphone.
Does not: resample, choose windows, or normalise (the network's first layer does).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.training.model.torchaudio_transforms import AmplitudeToDB, MelSpectrogram


class MelFrontEnd(nn.Module):
    """The mel stage of a contract as a module without weights."""

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        self.channels = spec.channels
        self.mel = MelSpectrogram(
            sample_rate=spec.rate_hz,
            n_fft=spec.n_fft,
            hop_length=spec.hop_samples,
            f_min=spec.mel_min_hz,
            f_max=spec.mel_max_hz,
            n_mels=spec.n_mels,
            power=2.0,
            center=True,
            pad_mode=spec.padding,
            norm=None if spec.mel_norm == "none" else spec.mel_norm,
            mel_scale=spec.mel_scale,
        )
        self.decibels = AmplitudeToDB(stype="power", top_db=spec.top_db)
        self.decibels.amin = spec.power_floor

    def forward(self, samples: Tensor) -> Tensor:
        """Mel decibels (N, C, M, T) of samples (N, C or 1, S)."""
        mel_power = self.mel(samples)  # (N, C or 1, M, T)
        # Rank 4 matters: torchaudio takes the peak over the whole batch of a rank-3 input.
        mel_db: Tensor = self.decibels(mel_power)
        return mel_db.expand(-1, self.channels, -1, -1)

    @torch.no_grad()
    def features(self, samples: Tensor) -> Tensor:
        """The same without a graph for gradients, which nothing before the network needs."""
        mel_db: Tensor = self(samples)
        return mel_db
