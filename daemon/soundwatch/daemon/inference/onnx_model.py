"""ONNX model files: one file, opened with the requested provider or with the fastest, and checked.

Conventions: as `inference/classifier.py`: mel decibels (N, C, M, T) in, (N, K + G) out, both float32. A model with tags
has a second output `tag_scores` (N, G); its columns follow the K logits.
Rule for auto: the processor, unless an accelerator can be used; then each is opened, classifies the same noise
several times, and is taken if it agrees with the processor and is fast enough (`providers.fastest_provider`). The
reason against each other accelerator is kept. On a machine without an accelerator nothing is measured.
An accelerator's network falls back to the processor's when it fails in mid-run (`inference/fallback.py`).
Does not: import ONNX Runtime before a file is opened, or know a provider's needs (`inference/providers.py`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import ContractError, ModelError, ProviderError
from soundwatch.daemon.core.model.contract import CONTRACT_KEY, WAVEFORM_KEY, ModelContract, decode_contract
from soundwatch.daemon.inference import providers
from soundwatch.daemon.inference.content_hash import CONTENT_KEY, check_content, onnx_content_sha256
from soundwatch.daemon.inference.fallback import FallbackNetwork
from soundwatch.daemon.inference.io_binding import BATCHES, BoundSession
from soundwatch.daemon.inference.opened_model import Logits, OpenedModel, waveform_refusal
from soundwatch.daemon.inference.providers import CardOptions

MAX_LOGIT_DIFFERENCE: Final = 0.01  # some thousandths of a score; a provider that computes in 16 bits differs more
ROUNDS: Final = 3
_SOURCE_PLACE: Final = re.compile(r"/onnxruntime_src/\S+ (?:\S+ )?\S+\(.*\) ")
TAG_OUTPUT: Final = "tag_scores"


def load_onnx(path: Path, content: bytes, provider: str, threads: int, card: CardOptions) -> OpenedModel:
    """Open the ONNX file `path` with this content.

    Raises:
        ModelError: The content is not an ONNX model, was altered, or has another shape than its contract declares.
        ContractError: The file carries no contract.
        ProviderError: The requested provider cannot be used.
    """
    import onnxruntime

    available = onnxruntime.get_available_providers()
    wanted = providers.choose_provider(provider, available, card)
    if wanted == providers.CPU:
        return _open(path, content, wanted, threads, card)
    on_cpu = _open(path, content, providers.CPU, threads, card)
    if wanted != "auto":
        return _with_fallback(_open(path, content, wanted, threads, card), on_cpu)
    tried, unused_providers = [on_cpu], dict[str, str]()
    for name, reason in providers.candidate_accelerators(available, card).items():
        if reason is not None:
            unused_providers[name] = reason
            continue
        try:
            tried.append(_open(path, content, name, threads, card))
        except ProviderError as error:
            unused_providers[name] = str(error)
    chosen = select_fastest(tried)
    chosen = replace(chosen, unused_providers={**unused_providers, **chosen.unused_providers})
    return chosen if chosen.provider == providers.CPU else _with_fallback(chosen, on_cpu)


def _with_fallback(accelerated: OpenedModel, on_cpu: OpenedModel) -> OpenedModel:
    """Fall back to the processor when the accelerator fails."""
    network = FallbackNetwork(accelerated.provider, accelerated.logits, on_cpu.provider, on_cpu.logits)
    return replace(accelerated, logits=network)


def select_fastest(tried: list[OpenedModel], now_ns: Callable[[], int] = time.perf_counter_ns) -> OpenedModel:
    """Select one of several providers of a file, with the times and the reasons against the others.

    Args:
        tried: At least one; the processor is the first.
        now_ns: A monotonic clock.
    """
    on_cpu = tried[0]
    if len(tried) == 1:
        return on_cpu
    noise = np.random.default_rng(0).normal(-40, 15, (BATCHES[-1], *on_cpu.contract.features.input_shape))
    mel_db = noise.astype(np.float32)
    wanted, window_ms, unused_providers = on_cpu.logits(mel_db), dict[str, float](), dict[str, str]()
    for model in tried:
        try:
            refusal = _difference_refusal(model.logits(mel_db), wanted)  # also warms up
        except ModelError as error:
            if model is on_cpu:
                raise
            refusal = str(error)
        if refusal is None:
            window_ms[model.provider] = _window_ms(model, mel_db, now_ns)
        else:
            unused_providers[model.provider] = refusal
    taken = providers.fastest_provider(window_ms)
    for name, needed_ms in window_ms.items():
        if name not in (taken, providers.CPU):
            unused_providers[name] = f"it takes {needed_ms:g} ms for a window, {taken} takes {window_ms[taken]:g} ms"
    chosen = next(model for model in tried if model.provider == taken)
    return replace(chosen, window_ms=window_ms, unused_providers=unused_providers)


def _difference_refusal(logits: NDArray[np.float32], wanted: NDArray[np.float32]) -> str | None:
    """Return the reason against a provider whose logits (N, K) differ from the processor's; None if they agree."""
    difference = float(np.abs(logits - wanted).max())
    if difference <= MAX_LOGIT_DIFFERENCE:  # false for NaN
        return None
    return f"its logits differ from the processor's by {difference:.2g}, and {MAX_LOGIT_DIFFERENCE:g} is the limit"


def _window_ms(model: OpenedModel, mel_db: NDArray[np.float32], now_ns: Callable[[], int]) -> float:
    """Return the shortest of some times for a window, in a batch of windows (N, C, M, T)."""
    spent_ns = []
    for _ in range(ROUNDS):
        started_ns = now_ns()
        model.logits(mel_db)
        spent_ns.append(now_ns() - started_ns)
    return round(min(spent_ns) / 1e6 / len(mel_db), 4)


def _open(path: Path, content: bytes, provider: str, threads: int, card: CardOptions) -> OpenedModel:
    """Open the file with one provider, and refuse another."""
    session = _session(path, content, provider, threads, card)
    running = str(session.get_providers()[0])
    if running != provider:
        raise ProviderError(
            f"{provider} was requested and {running} runs instead: ONNX Runtime fell back without a reason. "
            "Choose provider auto or cpu."
        )
    try:
        metadata = session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise ContractError(f"The metadata in {path} is damaged: {error}. Copy or export the model again.") from error
    if WAVEFORM_KEY in metadata:
        raise ContractError(waveform_refusal(path))
    text = metadata.get(CONTRACT_KEY)
    if text is None:
        raise ContractError(
            f"{path} is ONNX without a soundwatch contract ({CONTRACT_KEY!r} in its metadata). "
            "A model that `soundwatch export` wrote was expected."
        )
    contract = decode_contract(text, str(path))
    try:
        content_sha256 = onnx_content_sha256(content)
    except ValueError as error:
        raise ModelError(f"{path} does not read as ONNX: {error}. Copy or export the model again.") from error
    check_content(path, content_sha256, metadata.get(CONTENT_KEY))
    _check_input(path, session, contract)
    network = partial(_explained, path, _network(session, running, contract, card))
    return OpenedModel(contract, running, network, content_sha256=content_sha256)


def _network(session: Any, provider: str, contract: ModelContract, card: CardOptions) -> Logits:
    """Return the session as a function of arrays."""
    if provider == providers.CPU:
        return partial(_one_by_one, session, session.get_inputs()[0].name, _output_names(session))
    device = "cuda" if provider in providers.NVIDIA_PROVIDERS else "cpu"
    try:
        widths = dict(zip(_output_names(session), (len(contract.labels), len(contract.tags)), strict=False))
        return BoundSession(session, contract.features.input_shape, widths, device, card.device_id)
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        raise ProviderError(
            f"{provider} cannot run this model: {_reason(error)} Fix that, or choose provider auto or cpu."
        ) from error


def _session(path: Path, content: bytes, provider: str, threads: int, card: CardOptions) -> Any:
    """Create an ONNX Runtime session that prints nothing, sleeps while it waits, and reads one file only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its errors are raised, too
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # ONNX Runtime looks for weights in a second file in the working directory; this folder holds none.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    onnxruntime.set_default_logger_severity(4)  # `ProviderError` explains a provider that does not start
    try:
        return onnxruntime.InferenceSession(
            content, options, providers=providers.provider_options(provider, card), enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        if "xternal data" in str(error):
            raise ModelError(
                f"{path} keeps its weights in a second file. One file was expected; export the checkpoint again."
            ) from error
        if provider != providers.CPU:
            _session(path, content, providers.CPU, threads, card)  # raises ModelError if the file is at fault
            raise ProviderError(
                f"{provider} does not start: {_reason(error)} Fix that, or choose provider auto or cpu."
            ) from error
        raise ModelError(
            f"{path} does not read as ONNX: {_reason(error)} A model that `soundwatch export` wrote was expected."
        ) from error
    finally:
        onnxruntime.set_default_logger_severity(3)


def _check_input(path: Path, session: Any, contract: ModelContract) -> None:
    """Refuse a network whose input differs from the output of the contract's front end."""
    seen = [(value.type, value.shape) for value in session.get_inputs()]
    wanted = contract.features.input_shape
    fits = len(seen) == 1 and seen[0][0] == "tensor(float)" and len(seen[0][1]) == 4
    if fits:
        windows, *shape = seen[0][1]
        fits = not isinstance(windows, int) and all(
            size == want or not isinstance(size, int) for size, want in zip(shape, wanted, strict=True)
        )
    outputs = _output_names(session)
    if not fits or len(outputs) != 1 + bool(contract.tags) or (TAG_OUTPUT in outputs) is not bool(contract.tags):
        needed = f"two outputs, the second {TAG_OUTPUT}," if contract.tags else "one output"
        raise ModelError(
            f"{path} takes {seen} and has {len(outputs)} outputs; one float32 input "
            f"(any number of windows, {', '.join(map(str, wanted))}) and {needed} were expected, as its contract "
            "says. Export the checkpoint again."
        )
    kinds = {value.type for value in session.get_outputs()}
    if kinds != {"tensor(float)"}:
        raise ModelError(
            f"{path} has outputs of {', '.join(sorted(kinds))}; float32 numbers were expected. Export the checkpoint "
            "again."
        )


def _output_names(session: Any) -> list[str]:
    """Return the names of a session's outputs, the tags' scores last."""
    return sorted((value.name for value in session.get_outputs()), key=lambda name: name == TAG_OUTPUT)


def _explained(path: Path, run: Logits, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a network, and name its file on a failure."""
    try:
        return run(mel_db)
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        raise ModelError(f"{path} failed on mel decibels of shape {mel_db.shape}: {_reason(error)}") from error


def _one_by_one(session: Any, name: str, outputs: list[str], mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a session on the processor, window by window.

    Kernels round differently for several windows than for one (2e-6 of a logit), so an event would depend on the
    windows of other sources. A batch of sixteen is only 6 % faster (docs/decisions/0013).
    """
    rows = [session.run(outputs, {name: window[None]}) for window in mel_db]
    if len(outputs) > 1:
        rows = [[np.concatenate(row, axis=1)] for row in rows]
    logits = [np.asarray(row[0], np.float32) for row in rows]
    return logits[0] if len(logits) == 1 else np.concatenate(logits)


def _reason(error: Exception) -> str:
    """Return ONNX Runtime's message on one line, without its prefix and the place in its source."""
    text = " ".join(str(error).rsplit(" : ", 1)[-1].split())
    return _SOURCE_PLACE.sub("", text)
