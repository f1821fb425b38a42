"""ONNX model files: one file, opened with the provider that is asked for or with the quickest, and checked.

Conventions: as `inference/classifier.py`: mel decibels (N, C, M, T) in, logits (N, K) out, both float32.
Rule for auto: the processor, unless an accelerator may be had here; then each is opened, classifies the same noise
several times, and is taken if it agrees with the processor and `providers.quickest` says so. On a machine without
one nothing is measured.
Does not: import ONNX Runtime before a file is opened, or know providers by what they need (`inference/providers.py`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.contract import CONTRACT_KEY, ModelContract, decode_contract
from soundwatch.daemon.core.errors import ContractError, ModelError, ProviderError
from soundwatch.daemon.inference import providers
from soundwatch.daemon.inference.io_binding import BATCHES, BoundSession
from soundwatch.daemon.inference.torchscript_model import Logits

MAX_LOGIT_DIFFERENCE: Final = 0.01  # of a logit: some thousandths of a score. What computes in 16 bits is further off.
ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """An opened file.

    Attributes:
        contract: That it carries.
        provider: What runs it, as the session reports it.
        logits: Its network.
        window_ms: What a window took with each provider that was tried; empty where there was no choice.
    """

    contract: ModelContract
    provider: str
    logits: Logits
    window_ms: dict[str, float]


def load_onnx(path: Path, content: bytes, provider: str, require_cuda: bool, threads: int) -> OnnxModel:
    """Open the ONNX file `path` of this content.

    Raises:
        ModelError: It is no ONNX model, or of another shape than its contract says.
        ContractError: It carries no contract.
        ProviderError: What was asked to run it cannot be had.
    """
    import onnxruntime

    available = onnxruntime.get_available_providers()
    wanted = providers.choose_provider(provider, require_cuda, available)
    if wanted != "auto":
        return _open(path, content, wanted, threads)
    tried = [_open(path, content, providers.CPU, threads)]
    for name in providers.candidate_accelerators(available):
        try:
            tried.append(_open(path, content, name, threads))
        except ProviderError:
            continue  # nobody asked for it
    return select_fastest(tried)


def select_fastest(tried: list[OnnxModel], now_ns: Callable[[], int] = time.perf_counter_ns) -> OnnxModel:
    """The one to take of a file opened with several providers, the processor first, and what each took for a window.

    Args:
        tried: At least one.
        now_ns: A monotonic clock.
    """
    on_cpu = tried[0]
    if len(tried) == 1:
        return on_cpu
    noise = np.random.default_rng(0).normal(-40, 15, (BATCHES[-1], *on_cpu.contract.features.input_shape))
    mel_db = noise.astype(np.float32)
    wanted, window_ms = on_cpu.logits(mel_db), dict[str, float]()
    for each in tried:
        if not np.allclose(each.logits(mel_db), wanted, rtol=0, atol=MAX_LOGIT_DIFFERENCE):  # and so that all is warm
            continue
        spent_ns = []
        for _ in range(ROUNDS):
            started_ns = now_ns()
            each.logits(mel_db)
            spent_ns.append(now_ns() - started_ns)
        window_ms[each.provider] = round(min(spent_ns) / 1e6 / len(mel_db), 4)
    taken = providers.fastest_provider(window_ms)
    chosen = next(each for each in tried if each.provider == taken)
    return OnnxModel(chosen.contract, chosen.provider, chosen.logits, window_ms)


def _open(path: Path, content: bytes, provider: str, threads: int) -> OnnxModel:
    """The file, run by this provider and no other."""
    session = _session(path, content, provider, threads)
    running = str(session.get_providers()[0])
    if running != provider:
        raise ProviderError(
            f"{provider} was asked for and {running} runs instead: ONNX Runtime fell back without saying why. "
            "Choose provider auto or cpu."
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
    return OnnxModel(contract, running, partial(_explained, path, _network(session, running, contract)), {})


def _network(session: Any, provider: str, contract: ModelContract) -> Logits:
    """The session as a function of arrays."""
    if provider == providers.CPU:
        return partial(_one_by_one, session, session.get_inputs()[0].name)
    device = "cuda" if provider in providers.NVIDIA_PROVIDERS else "cpu"
    try:
        return BoundSession(session, contract.features.input_shape, len(contract.labels), device)
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        raise ProviderError(
            f"{provider} cannot run this model: {_reason(error)} Mend that, or choose provider auto or cpu."
        ) from error


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
            content, options, providers=providers.provider_options(provider), enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        if "xternal data" in str(error):
            raise ModelError(
                f"{path} keeps its weights in a second file. One file was wanted; export the checkpoint again."
            ) from error
        if provider != providers.CPU:
            _session(path, content, providers.CPU, threads)  # or else it is the file that is at fault
            raise ProviderError(
                f"{provider} does not start: {_reason(error)} Mend that, or choose provider auto or cpu."
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


def _explained(path: Path, run: Logits, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """A network whose failure says which file's it is."""
    try:
        return run(mel_db)
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        raise ModelError(f"{path} failed on mel decibels of shape {mel_db.shape}: {_reason(error)}") from error


def _one_by_one(session: Any, name: str, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """A session on the processor, window by window.

    Its kernels round otherwise for several windows than for one (2e-6 of a logit), so an event would depend on who
    else was heard just then. Sixteen together are but 6 % faster (docs/decisions/0013).
    """
    each = [np.asarray(session.run(None, {name: window[None]})[0], np.float32) for window in mel_db]
    return each[0] if len(each) == 1 else np.concatenate(each)


def _reason(error: Exception) -> str:
    """ONNX Runtime's words without its prefix, on one line."""
    return " ".join(str(error).rsplit(" : ", 1)[-1].split())
