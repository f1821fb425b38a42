"""A classifier of ten tones, one for each class of UrbanSound8K, with exactly known results."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.frontend.mel import mel_db
from soundwatch.training.model.labels import LABELS
from support.fakes import SMALL_CONTRACT, SMALL_SPEC

SPEC = msgspec.structs.replace(SMALL_SPEC, n_fft=512, n_mels=64)
TEN_TONES = msgspec.structs.replace(
    SMALL_CONTRACT, name="tones", features=SPEC, labels=LABELS, thresholds=dict.fromkeys(LABELS, 0.5)
)


def tone_hz(class_id: int) -> int:
    """Return the frequency of a class; `urbansound8k_folder.py` writes its clips at these frequencies."""
    return 200 + 300 * class_id


def _band(class_id: int) -> int:
    """The mel band that its tone is loudest in."""
    time_s = np.arange(SPEC.window_samples) / SPEC.rate_hz
    tone = np.sin(2 * np.pi * tone_hz(class_id) * time_s).astype(np.float32)[None]
    return int(mel_db(tone, SPEC).mean(axis=(0, 2)).argmax())


_BANDS = np.array([_band(class_id) for class_id in range(len(LABELS))])


@dataclass(frozen=True, slots=True)
class TenTones:
    """Scores 0.9 the class whose band is the loudest of all and 25 dB above their median somewhere; else 0.1."""

    contract: ModelContract = TEN_TONES
    provider: str = "DoubleProvider"

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        bands = mel_db.mean(axis=1).max(axis=2)  # (N, M)
        scores = np.full((len(bands), len(LABELS)), 0.1, np.float32)
        for window, levels in enumerate(bands):
            loudest = int(levels.argmax())
            aside = np.abs(_BANDS - loudest)  # a tone may be a little louder in the next band
            if aside.min() <= 1 and levels[loudest] > np.median(levels) + 25:
                scores[window, aside.argmin()] = 0.9
        return scores
