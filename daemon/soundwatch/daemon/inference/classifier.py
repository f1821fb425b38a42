"""The classify stage: a model file, opened and proven usable, that turns mel decibels into scores.

Conventions: in, mel decibels (N, C, M, T) float32; out, scores (N, K) float32 in [0, 1], never NaN.
A model file is one file that carries its contract: ONNX in `metadata_props`, TorchScript in
`_extra_files`. Its network gives logits; the contract's activation is applied here.
Does not: import ONNX Runtime or torch before a model is opened, compute features (`frontend/mel.py`), or
weigh scores against thresholds (`detection/decide.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.contract import Activation, ModelContract
from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.core.types import Classifier, Features, Scores, read_only
from soundwatch.daemon.inference import onnx_model, torchscript_model
from soundwatch.daemon.inference.torchscript_model import Logits
from soundwatch.daemon.inference.triton_client import RemoteClassifier

Backend = Literal["auto", "onnx", "torchscript"]

MOST_BYTES: Final = 1 << 30
SHIPPED_MODELS: Final = ("urban", "tutorial")
_TORCHSCRIPT_SUFFIXES: Final = frozenset({".pt", ".ts"})


def classify_windows(classifier: Classifier, windows: Sequence[Features]) -> list[Scores]:
    """The classify stage: what the network says of some windows, whichever streams they are of."""
    if not windows:
        return []
    values = read_only(classifier.classify(np.stack([features.mel_db for features in windows])))  # (N, K)
    return [
        Scores(row, classifier.contract.labels, features.first_sample, features.end_sample, features.complete)
        for row, features in zip(values, windows, strict=True)
    ]


def default_model() -> Path:
    """The model file that is used where none is named."""
    return resolve_model(SHIPPED_MODELS[0])


def resolve_model(name_or_path: str | Path) -> Path:
    """The file of a shipped model's name, or the path itself.

    Raises:
        ModelError: There is no such file.
    """
    shipped = str(name_or_path) in SHIPPED_MODELS
    path = Path(__file__).parents[1] / "models" / f"{name_or_path}.onnx" if shipped else Path(name_or_path)
    if not path.exists():
        raise ModelError(
            f"There is no model {path}. Name a model file, or a model that is shipped: {', '.join(SHIPPED_MODELS)}."
            + (" This one should have been installed; install soundwatch again." if shipped else "")
        )
    return path


def backend_of(path: Path, backend: Backend) -> Literal["onnx", "torchscript"]:
    """What a model file is, where "auto" goes by its suffix."""
    if backend == "auto":
        return "torchscript" if path.suffix in _TORCHSCRIPT_SUFFIXES else "onnx"
    return backend


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model file that is ready to run; satisfies `types.Classifier`.

    Attributes:
        path: The file.
        contract: What it carries.
        provider: What runs it, as the runtime reports it.
        logits: Its network: mel decibels (N, C, M, T) to logits (N, K).
        window_ms: What a window took with each provider that was tried for it; empty where there was no choice.
    """

    path: Path
    contract: ModelContract
    provider: str
    logits: Logits
    window_ms: dict[str, float] = field(default_factory=dict)

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (N, K) in [0, 1] of N windows' mel decibels (N, C, M, T).

        Raises:
            ModelError: The network failed, or gave something that is not a finite number.
        """
        logits = self.logits(mel_db)
        if not np.isfinite(logits).all():
            raise ModelError(
                f"{self.path} gave {logits[~np.isfinite(logits)][0]} for {mel_db.shape[0]} windows of "
                f"{mel_db.min():.1f} to {mel_db.max():.1f} dB; finite logits were wanted. "
                "Run `soundwatch verify` on the model."
            )
        return activate(logits, self.contract.activation)


def log_fields(classifier: Classifier) -> dict[str, object]:
    """What the log says of a model: its name, what runs it, and what each took where there was a choice."""
    facts: dict[str, object] = {"model": classifier.contract.identity, "provider": classifier.provider}
    if isinstance(classifier, LoadedModel) and classifier.window_ms:
        facts["window_ms"] = classifier.window_ms
    if isinstance(classifier, RemoteClassifier) and classifier.obstacle:
        facts["obstacle"] = classifier.obstacle
    return facts


def activate(logits: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Scores (N, K) in [0, 1] of finite logits (N, K)."""
    if activation == "sigmoid":
        # 1 / (1 + e^-x) = e^-log(e^0 + e^-x), which overflows nowhere.
        scores: NDArray[np.float32] = np.exp(-np.logaddexp(np.float32(0), -logits))
        return scores
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return softmax


def load_classifier_file(
    path: str | Path,
    provider: str = "auto",
    backend: Backend = "auto",
    require_cuda: bool = False,
    threads: int = 1,
) -> LoadedModel:
    """Open a model file and run it once on zeros, so that what cannot work fails here and not later.

    Args:
        path: The file, or the name of a shipped model.
        provider: "auto" for the quickest, "cpu", "cuda", or the name of any provider that ONNX Runtime has.
        backend: What the file is; "auto" goes by its suffix (.pt and .ts are TorchScript).
        require_cuda: Whether running on the processor is an error.
        threads: Threads that one window's classification may use.

    Raises:
        ModelError: The file is missing, damaged, of the wrong shape, or in more than one file.
        ContractError: It carries no contract, or one that does not read.
        ProviderError: What was asked to run it cannot be had.
    """
    path = resolve_model(path)
    backend = backend_of(path, backend)
    content = _read(path)
    if backend == "torchscript":
        model = LoadedModel(path, *torchscript_model.load_torchscript(path, content, provider, require_cuda, threads))
    else:
        file = onnx_model.load_onnx(path, content, provider, require_cuda, threads)
        model = LoadedModel(path, file.contract, file.provider, file.logits, file.window_ms)
    contract = model.contract
    seen = model.logits(np.zeros((1, *contract.features.input_shape), np.float32)).shape
    if seen != (1, len(contract.labels)):
        raise ModelError(
            f"{path} gives an output of shape {seen} for one window; its contract has {len(contract.labels)} labels, "
            f"so (1, {len(contract.labels)}) was wanted. Export the checkpoint again."
        )
    return model


def _read(path: Path) -> bytes:
    """The file's bytes, at least one."""
    try:
        size_bytes = path.stat().st_size
        if not path.is_file() and not path.is_dir():
            raise ModelError(f"{path} is no regular file; a model that `soundwatch export` wrote was wanted.")
        if size_bytes > MOST_BYTES:
            raise ModelError(f"{path} has {size_bytes} bytes; a model of {MOST_BYTES} bytes at most was wanted.")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read as a model: {error.strerror}. Name one model file.") from error
    if not content:
        raise ModelError(f"{path} is empty. A model that `soundwatch export` wrote was wanted; copy it again.")
    return content
