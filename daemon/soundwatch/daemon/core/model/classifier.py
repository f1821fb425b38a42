"""The protocol of an opened model.

Does not: open model files (`inference/classifier.py`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.model.contract import ModelContract


class Classifier(Protocol):
    """An opened model."""

    @property
    def contract(self) -> ModelContract:
        """Contract of the model file."""

    @property
    def provider(self) -> str:
        """Execution provider, as the runtime reports it: `CPUExecutionProvider`, ..."""

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute scores (N, K + G) in [0, 1] of N windows' mel decibels (N, C, M, T): the classes, then the tags."""
