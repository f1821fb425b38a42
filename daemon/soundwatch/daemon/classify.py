"""The classify stage: a model file, opened and proven usable, that turns mel decibels into scores.

Conventions: in, mel decibels (N, C, M, T) float32; out, scores (N, K) float32 in [0, 1], never NaN.
A model file is one file that carries its contract: ONNX in `metadata_props`, TorchScript in
`_extra_files`. Its network gives logits; the contract's activation is applied here.
Does not: import ONNX Runtime or torch before a model is opened, compute features (`mel.py`), or
weigh scores against thresholds (`decide.py`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon import providers, torchscript
from soundwatch.daemon.contract import CONTRACT_KEY, Activation, ModelContract, decode_contract
from soundwatch.daemon.errors import ContractError, ModelError, ProviderError
from soundwatch.daemon.torchscript import Logits
from soundwatch.daemon.types import Classifier, Features, Scores, read_only

Backend = Literal["auto", "onnx", "torchscript"]

MOST_BYTES: Final = 1 << 30
SHIPPED_MODELS: Final = ("urban", "tutorial")
_TORCHSCRIPT_SUFFIXES: Final = frozenset({".pt", ".ts"})


def classify(classifier: Classifier, windows: Sequence[Features]) -> list[Scores]:
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
    path = Path(__file__).with_name("models") / f"{name_or_path}.onnx" if shipped else Path(name_or_path)
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
    """

    path: Path
    contract: ModelContract
    provider: str
    logits: Logits

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


def activate(logits: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Scores (N, K) in [0, 1] of finite logits (N, K)."""
    if activation == "sigmoid":
        # 1 / (1 + e^-x) = e^-log(e^0 + e^-x), which overflows nowhere.
        scores: NDArray[np.float32] = np.exp(-np.logaddexp(np.float32(0), -logits))
        return scores
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return softmax


def open_classifier(
    path: str | Path,
    provider: str = "auto",
    backend: Backend = "auto",
    require_cuda: bool = False,
    threads: int = 1,
) -> LoadedModel:
    """Open a model file and run it once on zeros, so that what cannot work fails here and not later.

    Args:
        path: The file, or the name of a shipped model.
        provider: "auto", "cpu", "cuda", or the name of any provider that ONNX Runtime has.
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
        contract, running, logits = torchscript.open_torchscript(path, content, provider, require_cuda, threads)
    else:
        contract, running, logits = _open_onnx(path, content, provider, require_cuda, threads)
    model = LoadedModel(path, contract, running, logits)
    seen = logits(np.zeros((1, *contract.features.input_shape), np.float32)).shape
    if seen != (1, len(contract.labels)):
        raise ModelError(
            f"{path} gives an output of shape {seen} for one window; its contract has {len(contract.labels)} labels, "
            f"so (1, {len(contract.labels)}) was wanted. Export the checkpoint again."
        )
    return model


def _open_onnx(
    path: Path, content: bytes, provider: str, require_cuda: bool, threads: int
) -> tuple[ModelContract, str, Logits]:
    """The contract in the ONNX file `path` of this content, what runs it, and its network."""
    import onnxruntime

    wanted = providers.choose_provider(provider, require_cuda, onnxruntime.get_available_providers())
    session = _session(path, content, wanted, threads)
    running = str(session.get_providers()[0])
    if running != wanted and (require_cuda or provider != "auto"):
        raise ProviderError(
            f"{wanted} was asked for and {running} runs instead: {providers.library_obstacle()}. "
            "Mend that, or choose provider auto or cpu."
        )
    try:
        text = session.get_modelmeta().custom_metadata_map.get(CONTRACT_KEY)
    except UnicodeDecodeError as error:
        raise ContractError(f"The metadata in {path} is damaged: {error}. Copy or export the model again.") from error
    if text is None:
        raise ContractError(
            f"{path} is ONNX without a soundwatch contract ({CONTRACT_KEY!r} in its metadata). "
            "A model that `soundwatch export` wrote was wanted."
        )
    contract = decode_contract(text, str(path))
    _check_input(path, session, contract)
    run = partial(_run, path, session)
    return contract, running, partial(_one_by_one, run) if running == providers.CPU else run


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


def _session(path: Path, content: bytes, provider: str, threads: int) -> Any:
    """An ONNX Runtime session that stays quiet, sleeps while it waits, and reads one file only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights in a second file would be looked for in the working directory: they are never found here.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    onnxruntime.set_default_logger_severity(4)  # what a provider says while it fails to start, `provider` says better
    try:
        return onnxruntime.InferenceSession(
            content, options, providers=providers.with_options(provider), enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        if "xternal data" in str(error):
            raise ModelError(
                f"{path} keeps its weights in a second file. One file was wanted; export the checkpoint again."
            ) from error
        raise ModelError(
            f"{path} does not read as ONNX: {_reason(error)} A model that `soundwatch export` wrote was wanted."
        ) from error
    finally:
        onnxruntime.set_default_logger_severity(3)


def _check_input(path: Path, session: Any, contract: ModelContract) -> None:
    """Refuse a network whose input is not what the contract's front end gives."""
    seen = [(value.type, value.shape) for value in session.get_inputs()]
    wanted = contract.features.input_shape
    fits = len(seen) == 1 and seen[0][0] == "tensor(float)" and len(seen[0][1]) == 4
    if fits:
        windows, *shape = seen[0][1]
        fits = not isinstance(windows, int) and all(
            size == want or not isinstance(size, int) for size, want in zip(shape, wanted, strict=True)
        )
    if not fits or len(session.get_outputs()) != 1:
        raise ModelError(
            f"{path} takes {seen} and has {len(session.get_outputs())} outputs; one float32 input "
            f"(any number of windows, {', '.join(map(str, wanted))}) and one output were wanted, as its contract "
            "says. Export the checkpoint again."
        )


def _run(path: Path, session: Any, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """The session as a function of arrays."""
    try:
        return np.asarray(session.run(None, {session.get_inputs()[0].name: mel_db})[0], np.float32)
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        raise ModelError(f"{path} failed on mel decibels of shape {mel_db.shape}: {_reason(error)}") from error


def _one_by_one(run: Logits, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """A session on the processor, window by window.

    Its kernels round otherwise for several windows than for one (2e-6 of a logit), so an event would depend on who
    else was heard just then. Sixteen together are but 6 % faster (docs/decisions/0013).
    """
    return run(mel_db) if len(mel_db) == 1 else np.concatenate([run(window[None]) for window in mel_db])


def _reason(error: Exception) -> str:
    """ONNX Runtime's words without its prefix, on one line."""
    return " ".join(str(error).rsplit(" : ", 1)[-1].split())
