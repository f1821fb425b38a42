"""A small contract, and a classifier that any test can follow by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.model.contract import ModelContract, Provenance
from soundwatch.daemon.core.model.feature_spec import FeatureSpec

SMALL_SPEC = FeatureSpec(
    rate_hz=8000,
    channels=1,
    window_ms=400,
    window_hop_frames=8,  # 800 samples: a quarter of a window
    n_fft=256,
    hop_samples=100,
    n_mels=16,
    mel_min_hz=0.0,
    mel_max_hz=4000.0,
    mel_scale="htk",
    mel_norm="none",
    padding="reflect",
    power_floor=1e-10,
    top_db=80.0,
    top_db_peak="example",
    normalisation="none",
    normalisation_floor_db=1e-3,
)

SMALL_PROVENANCE = Provenance(
    recipe="double",
    recipe_sha256="0" * 64,
    data="nothing",
    folds=(),
    leaky_split=False,
    clips=0,
    epochs=0,
    seed=0,
    parameters=0,
    soundwatch="0",
    torch="0",
    licence="Apache-2.0",
)

SMALL_CONTRACT = ModelContract(
    name="double",
    features=SMALL_SPEC,
    labels=("low", "high"),
    activation="sigmoid",
    thresholds={"low": 0.5, "high": 0.5},
    provenance=SMALL_PROVENANCE,
    scores=(),
    weights_sha256="ab" * 32,
)


@dataclass(frozen=True, slots=True)
class BandClassifier:
    """Scores the loudness of the lower and of the upper half of the mel bands: -60 dB is 0, 0 dB is 1."""

    contract: ModelContract = SMALL_CONTRACT
    provider: str = "DoubleProvider"
    seen_shapes: list[tuple[int, ...]] = field(default_factory=list)

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen_shapes.append(mel_db.shape)
        half = mel_db.shape[2] // 2
        bands = np.stack([mel_db[:, :, :half], mel_db[:, :, half:]], axis=-1)  # (N, C, M/2, T, 2)
        scores: NDArray[np.float32] = np.clip(bands.max(axis=2).mean(axis=(1, 2)) / 60 + 1, 0, 1).astype(np.float32)
        return scores


def tone(frequency_hz: float, seconds: float, rate_hz: int = 8000, amplitude: float = 0.5) -> NDArray[np.float32]:
    """A sine (1, S)."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)[None]


def silence(seconds: float, rate_hz: int = 8000) -> NDArray[np.float32]:
    """Digital silence (1, S)."""
    return np.zeros((1, round(seconds * rate_hz)), np.float32)
