"""The classify stage: a model file, opened and tested, that maps mel decibels to scores.

Conventions: in, mel decibels (N, C, M, T) float32; out, scores (N, K + G) float32 in [0, 1], never NaN: those of the K
classes, then those of the G tags.
A model file is one file that carries its contract: ONNX in `metadata_props`, TorchScript in
`_extra_files`. Its network gives logits of the classes, and scores of the tags; the contract's activation is applied to
the logits here.
A model file is a program: its first run has a time limit.
Does not: import ONNX Runtime or torch before a model is opened, compute features (`frontend/mel.py`), or
compare scores with thresholds (`detection/decide.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.core.files.paths import is_there
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import Activation, ModelContract
from soundwatch.daemon.core.model.tags import split_outputs
from soundwatch.daemon.core.records.block import read_only
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.window import Features
from soundwatch.daemon.inference import onnx_model, torchscript_model
from soundwatch.daemon.inference.fallback import FallbackNetwork
from soundwatch.daemon.inference.opened_model import OpenedModel
from soundwatch.daemon.inference.providers import CardOptions
from soundwatch.daemon.inference.shipped_torchscript import shipped_torchscript
from soundwatch.daemon.inference.triton_client import RemoteClassifier

Backend = Literal["auto", "onnx", "torchscript"]

MOST_BYTES: Final = 1 << 30
FIRST_RUN_S: Final = 120.0  # a first window takes milliseconds; choosing kernels on a slow card takes up to a minute
SHIPPED_MODELS: Final = ("urban", "urban-int8", "tutorial")
_TORCHSCRIPT_SUFFIXES: Final = frozenset({".pt", ".ts"})


def classify_windows(classifier: Classifier, windows: Sequence[Features]) -> list[Scores]:
    """Classify windows of any streams: the classify stage."""
    if not windows:
        return []
    contract = classifier.contract
    outputs = read_only(classifier.classify(np.stack([features.mel_db for features in windows])))  # (N, K + G)
    values, tag_values = map(read_only, split_outputs(contract, outputs))
    return [
        Scores(
            values=row,
            labels=contract.labels,
            first_sample=features.first_sample,
            end_sample=features.end_sample,
            complete=features.complete,
            tag_values=tag_row,
            tags=contract.tags,
        )
        for row, tag_row, features in zip(values, tag_values, windows, strict=True)
    ]


def model_path(name: str) -> Path:
    """Return the path of a model that is part of the package, such as `urban` or `speech`."""
    return Path(__file__).parents[1] / "models" / f"{name}.onnx"


def resolve_model(name_or_path: str | Path) -> Path:
    """Return the file of a shipped model's name, or the path itself.

    Raises:
        ModelError: There is no such file.
    """
    if not str(name_or_path):
        raise ModelError(f"The model's name is empty. Name a model file, or one of {', '.join(SHIPPED_MODELS)}.")
    shipped = str(name_or_path) in SHIPPED_MODELS
    path = model_path(str(name_or_path)) if shipped else Path(name_or_path)
    if not is_there(path):
        raise ModelError(
            f"There is no model {path}. Name a model file, or a model that is shipped: {', '.join(SHIPPED_MODELS)}."
            + (" This one should have been installed; install soundwatch again." if shipped else "")
        )
    return path


def backend_of(path: Path, backend: Backend) -> Literal["onnx", "torchscript"]:
    """Return the format of a model file; "auto" uses the suffix."""
    if backend == "auto":
        return "torchscript" if path.suffix in _TORCHSCRIPT_SUFFIXES else "onnx"
    return backend


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """An opened model file; satisfies `types.Classifier`.

    Attributes:
        path: The file.
        opened: The file as opened at the start, on its first provider.
    """

    path: Path
    opened: OpenedModel

    @property
    def contract(self) -> ModelContract:
        """Contract of the file."""
        return self.opened.contract

    @property
    def content_sha256(self) -> str:
        """Hash of the file's tensors and graph."""
        return self.opened.content_sha256

    @property
    def provider(self) -> str:
        """Current execution provider; the processor after an accelerator has failed."""
        logits = self.opened.logits
        return logits.provider if isinstance(logits, FallbackNetwork) else self.opened.provider

    @property
    def failure(self) -> str | None:
        """Reason for the fallback to the processor; None while the first provider runs."""
        logits = self.opened.logits
        return logits.failure if isinstance(logits, FallbackNetwork) else None

    def with_contract(self, contract: ModelContract) -> LoadedModel:
        """Return this model with other names, thresholds or tags in force."""
        return replace(self, opened=replace(self.opened, contract=contract))

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute scores (N, K + G) in [0, 1] of N windows' mel decibels (N, C, M, T).

        Raises:
            ModelError: The network failed, or gave a logit that is not a finite number, or a tag's score beyond 0 to 1.
        """
        logits = self.opened.logits(mel_db)
        if not np.isfinite(logits).all():
            raise ModelError(
                f"{self.path} gave {logits[~np.isfinite(logits)][0]} for {mel_db.shape[0]} windows of "
                f"{mel_db.min():.1f} to {mel_db.max():.1f} dB; finite logits were expected. "
                "Run `soundwatch verify` on the model."
            )
        tag_values = logits[:, logits.shape[1] - len(self.contract.tags) :]
        if tag_values.size and not 0 <= tag_values.min() <= tag_values.max() <= 1:
            raise ModelError(
                f"{self.path} gave tag scores of {tag_values.min():g} to {tag_values.max():g}; 0 to 1 were expected. "
                "Export the checkpoint again."
            )
        return activate_classes(logits, self.contract)


def log_fields(classifier: Classifier) -> dict[str, object]:
    """Return the fields of a log entry about a model: identity, provider, times, reasons against other providers."""
    fields: dict[str, object] = {"model": classifier.contract.identity, "provider": classifier.provider}
    if isinstance(classifier, LoadedModel):
        if classifier.opened.window_ms:
            fields["window_ms"] = classifier.opened.window_ms
        if unused := classifier.opened.unused_providers:
            fields["unused_providers"] = "; ".join(f"{name}: {reason}" for name, reason in unused.items())
        if classifier.failure:
            fields["obstacle"] = classifier.failure
    if isinstance(classifier, RemoteClassifier) and classifier.obstacle:
        fields["obstacle"] = classifier.obstacle
    return fields


def unused_provider_reasons(classifier: Classifier) -> dict[str, str]:
    """Return the reason against each accelerator that does not run a model, that of one that failed included."""
    if not isinstance(classifier, LoadedModel):
        return {}
    failed = {classifier.opened.provider: classifier.failure} if classifier.failure else {}
    return classifier.opened.unused_providers | failed


def activate(logits: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Map finite logits (N, K) to scores (N, K) in [0, 1]."""
    if activation == "sigmoid":
        # 1 / (1 + e^-x) = e^-log(e^0 + e^-x), which does not overflow.
        scores: NDArray[np.float32] = np.exp(-np.logaddexp(np.float32(0), -logits))
        return scores
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return softmax


def activate_classes(outputs: NDArray[np.float32], contract: ModelContract) -> NDArray[np.float32]:
    """Map a network's outputs (N, K + G), logits of the classes and scores of the tags, to scores (N, K + G)."""
    classes = outputs.shape[1] - len(contract.tags)
    scores = activate(outputs[:, :classes], contract.activation)
    return np.concatenate((scores, outputs[:, classes:]), axis=1) if contract.tags else scores


def load_classifier_file(
    path: str | Path,
    provider: str = "auto",
    backend: Backend = "auto",
    threads: int = 1,
    card: CardOptions | None = None,
    patience_s: float = FIRST_RUN_S,
) -> LoadedModel:
    """Open a model file and run it once on zeros, so that a model that cannot work fails at the start.

    Args:
        path: The file, or the name of a shipped model.
        provider: "auto" for the fastest, "cpu", "cuda", or the name of a provider of ONNX Runtime.
        backend: Format of the file; "auto" uses the suffix (.pt and .ts are TorchScript). With "torchscript" a shipped
            model's file is exported into the user's cache first.
        threads: Number of threads for one window.
        card: Card and memory limit for CUDA.
        patience_s: Time limit for opening and the first run; with auto, accelerators have it each.

    Raises:
        ModelError: The file is missing, damaged, altered, of the wrong shape, in more than one file, or too slow.
        ContractError: The file carries no contract, or a malformed one.
        ProviderError: The requested provider cannot be used.
    """
    path = resolve_model(name := path)
    backend = backend_of(path, backend)
    if backend == "torchscript" and str(name) in SHIPPED_MODELS:
        path = shipped_torchscript(str(name), path)
    content = _read(path)
    opened: Future[LoadedModel] = Future()

    def open_and_run() -> None:
        try:
            opened.set_result(_open(path, content, provider, backend, threads, card or CardOptions()))
        except BaseException as error:  # noqa: BLE001  # raised again in the calling thread
            opened.set_exception(error)

    threading.Thread(target=open_and_run, name="model-first-run", daemon=True).start()
    try:
        return opened.result(patience_s)
    except FutureTimeoutError as error:
        raise ModelError(
            f"{path} did not finish its first window within {patience_s:g} s. A model file is a program, and this "
            "one may not end. Use a model from a source that you trust, or a faster machine."
        ) from error


def _open(path: Path, content: bytes, provider: str, backend: Backend, threads: int, card: CardOptions) -> LoadedModel:
    """Open a model file and run it once."""
    if backend == "torchscript":
        opened = torchscript_model.load_torchscript(path, content, provider, threads, card.device_id)
    else:
        opened = onnx_model.load_onnx(path, content, provider, threads, card)
    model = LoadedModel(path, opened)
    contract = model.contract
    zeros = np.zeros((1, *contract.features.input_shape), np.float32)
    seen = opened.logits(zeros).shape
    wanted = (1, len(contract.labels) + len(contract.tags))
    if seen != wanted:
        tags = f" and {len(contract.tags)} tags" if contract.tags else ""
        raise ModelError(
            f"{path} gives an output of shape {seen} for one window; its contract has {len(contract.labels)} labels"
            f"{tags}, so {wanted} was expected. Export the checkpoint again."
        )
    model.classify(zeros)  # weights that are not finite numbers
    return model


def _read(path: Path) -> bytes:
    """Read the file."""
    try:
        size_bytes = path.stat().st_size
        if not path.is_file() and not path.is_dir():
            raise ModelError(f"{path} is not a regular file; a model that `soundwatch export` wrote was expected.")
        if size_bytes > MOST_BYTES:
            raise ModelError(f"{path} has {size_bytes} bytes; a model of {MOST_BYTES} bytes at most was expected.")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read as a model: {error.strerror}. Name one model file.") from error
    if not content:
        raise ModelError(f"{path} is empty. A model that `soundwatch export` wrote was expected; copy it again.")
    return content
