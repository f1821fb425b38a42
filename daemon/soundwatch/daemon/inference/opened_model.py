"""The record of a model file that is opened on one provider, whatever its format.

Does not: open a file (`onnx_model.py`, `torchscript_model.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.model.contract import ModelContract

Logits = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model file that is opened on one provider.

    Attributes:
        contract: Contract of the file.
        provider: Execution provider, as the runtime reports it.
        logits: The network: mel decibels (N, C, M, T) to (N, K + G), both float32.
        window_ms: Time for a window with each measured provider; empty without a choice.
        unused_providers: Reason against each accelerator that auto did not take.
        content_sha256: Hash of the file's tensors and graph.
    """

    contract: ModelContract
    provider: str
    logits: Logits
    window_ms: dict[str, float] = field(default_factory=dict)
    unused_providers: dict[str, str] = field(default_factory=dict)
    content_sha256: str = ""


def waveform_refusal(path: Path) -> str:
    """Return the message against a file that takes samples, which is for programs without a front end."""
    return (
        f"{path} takes samples and is for other programs (`soundwatch export --waveform`). soundwatch computes the "
        "features itself; give the model that the file was exported from."
    )
