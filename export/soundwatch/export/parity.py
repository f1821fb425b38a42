"""Parity of model variants: the same probes through each variant, compared with torch.

Conventions: differences are the largest over all values of one probe: of mel in dB, of scores as they
are. A variant that cannot run here is reported as "not run" with the reason.
torchaudio computes in float64 here: torch's float32 FFT is itself 1e-3 dB off where a mel band lies
70 dB below a tone (benchmarks/results/parity.md), and would say nothing about the variant.
Source: YAMNet's `export.py`.
Does not: write files (`exporter.py`) or print (`report.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from soundwatch.daemon.core.errors import ProviderError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import INT8_SUFFIX, Activation, ModelContract
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.frontend.mel import mel_db
from soundwatch.daemon.inference.classifier import Backend, load_classifier_file
from soundwatch.daemon.inference.providers import cuda_unavailable_reason
from soundwatch.training.model.frontend import MelFrontEnd

MEL_LIMIT_DB: Final = 1e-3
SCORE_LIMIT: Final = 1e-3
INT8_SCORE_LIMIT: Final = 1e-2  # in 8 bits a hundred-thousandth of a decibel may tip a value to the next step

RUNTIMES: Final[dict[Backend, str]] = {"onnx": "ONNX Runtime", "torchscript": "TorchScript"}

FrontEnd = Callable[[Samples], NDArray[np.float32]]
Scorer = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to compute a model.

    Attributes:
        name: As the table shows it.
        front_end: Samples (C, S) to mel decibels (C, M, T).
        score: Mel decibels (N, C, M, T) to scores (N, K + G).
    """

    name: str
    front_end: FrontEnd
    score: Scorer


@dataclass(frozen=True, slots=True)
class SkippedVariant:
    """Variant that this machine cannot run, and the reason."""

    variant: str
    reason: str


@dataclass(frozen=True, slots=True)
class ParityDifference:
    """Difference of one variant from the reference on one probe.

    Attributes:
        probe: Name of the probe.
        variant: Name of the variant.
        mel_db: Difference of mel decibels; None for a variant that takes samples.
        score: Difference of scores.
        score_limit: Largest permitted difference of scores.
    """

    probe: str
    variant: str
    mel_db: float | None
    score: float
    score_limit: float = SCORE_LIMIT

    @property
    def passed(self) -> bool:
        """True if both differences are within their limits; NaN is not."""
        return (self.mel_db is None or self.mel_db <= MEL_LIMIT_DB) and self.score <= self.score_limit


def score_limit_of(contract: ModelContract) -> float:
    """Return the largest permitted difference of a model's scores."""
    return INT8_SCORE_LIMIT if contract.name.endswith(INT8_SUFFIX) else SCORE_LIMIT


def compare_variants(
    reference: Variant, variants: Iterable[Variant], sounds: Mapping[str, Samples], score_limit: float = SCORE_LIMIT
) -> list[ParityDifference]:
    """Compare each variant with the reference on each probe."""
    wanted_mel, wanted_scores = _run_variant(reference, sounds)
    differences = []
    for variant in variants:
        mels, scores = _run_variant(variant, sounds)
        for index, probe in enumerate(sounds):
            mel_difference_db = float(np.abs(mels[index] - wanted_mel[index]).max())
            score_difference = float(np.abs(scores[index] - wanted_scores[index]).max())
            differences.append(ParityDifference(probe, variant.name, mel_difference_db, score_difference, score_limit))
    return differences


def _run_variant(variant: Variant, sounds: Mapping[str, Samples]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mel decibels (N, C, M, T) and scores (N, K) of N probes, scored as one batch."""
    mels = np.stack([variant.front_end(samples) for samples in sounds.values()])
    return mels, variant.score(mels)


def eager_scorer(network: nn.Module, activation: Activation) -> Scorer:
    """Return a scorer that runs the network in torch, with the activation of torch."""
    return partial(_score_eagerly, network, activation)


def file_variants(path: Path, backend: Backend, spec: FeatureSpec) -> list[Variant | SkippedVariant]:
    """Return the variants of a model file: the torchaudio front end on each device, and the daemon's front end."""
    name = RUNTIMES[backend]
    classifier = load_classifier_file(path, "cpu", backend)
    torchaudio_mel = torch_mel(spec)
    on_cpu = Variant(f"{name} CPU", torchaudio_mel, classifier.classify)
    on_cuda: Variant | SkippedVariant
    try:
        on_cuda = Variant(f"{name} CUDA", torchaudio_mel, load_classifier_file(path, "cuda", backend).classify)
    except ProviderError as error:
        on_cuda = SkippedVariant(f"{name} CUDA", "no CUDA device" if cuda_unavailable_reason() else str(error))
    daemon = Variant(f"daemon, {name}", partial(mel_db, spec=spec), partial(_score_one_by_one, classifier))
    return [on_cpu, on_cuda, daemon]


def torch_mel(spec: FeatureSpec, dtype: torch.dtype = torch.float64) -> FrontEnd:
    """Return the torchaudio front end in `dtype`; training uses float32."""
    return partial(_compute_mel, MelFrontEnd(spec).to(dtype), dtype)


def _compute_mel(front_end: nn.Module, dtype: torch.dtype, samples: Samples) -> NDArray[np.float32]:
    with torch.inference_mode():
        decibels = front_end(torch.tensor(samples, dtype=dtype)[None])[0]  # (C, M, T)
    return np.asarray(decibels.float().numpy(), np.float32)


def _score_eagerly(network: nn.Module, activation: Activation, decibels: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        outputs = network(torch.tensor(decibels))
        logits, *tag_scores = outputs if isinstance(outputs, tuple) else (outputs,)  # (N, K), (N, G)
        scores = torch.cat([logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid(), *tag_scores], dim=1)
    return np.asarray(scores.numpy(), np.float32)


def _score_one_by_one(classifier: Classifier, decibels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score each window as a batch of one, as the daemon does."""
    return np.concatenate([classifier.classify(window[None]) for window in decibels])
