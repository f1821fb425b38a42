"""Front end of training and export in torch: samples to mel decibels.

Conventions: in, (N, C, S) float32 in -1 to 1 at `spec.rate_hz`; out, (N, C, M, T) float32 decibels,
`top_db` below the peak of each example. C may be 1 where `spec.channels` is more: the single channel is
computed once and repeated, as `resample_clip` repeats its samples.
Source: torchaudio's MelSpectrogram and AmplitudeToDB, built from the model's `FeatureSpec`. A parity
test compares it with the daemon's `frontend/mel.py` within 1e-3 dB.
Does not: resample, choose windows, or normalize (the network's first layer does).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.training.model.torchaudio_transforms import AmplitudeToDB, MelSpectrogram


class MelFrontEnd(nn.Module):
    """Mel stage of a contract as a module without weights."""

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
        """Compute mel decibels (N, C, M, T) of samples (N, C or 1, S)."""
        mel_power = self.mel(samples)  # (N, C or 1, M, T)
        # The rank must be 4: torchaudio takes the peak over the whole batch of a rank-3 input.
        mel_db: Tensor = self.decibels(mel_power)
        return mel_db.expand(-1, self.channels, -1, -1)

    @torch.no_grad()
    def features(self, samples: Tensor) -> Tensor:
        """Compute mel decibels (N, C, M, T) without gradients."""
        mel_db: Tensor = self(samples)
        return mel_db
