"""TorchScript model files, for machines on which torch is installed.

Conventions: as `inference/classifier.py`: mel decibels (N, C, M, T) in, (N, K + G) out, both float32. A model
with tags gives two tensors, logits (N, K) and scores of the tags (N, G).
Does not: import torch before a TorchScript file is opened.
"""

from __future__ import annotations

import io
import warnings
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import ContractError, ModelError, ProviderError
from soundwatch.daemon.core.model.contract import CONTRACT_KEY, WAVEFORM_KEY, decode_contract
from soundwatch.daemon.core.process.extras import install_command
from soundwatch.daemon.inference.content_hash import CONTENT_KEY, check_content, torchscript_content_sha256
from soundwatch.daemon.inference.opened_model import OpenedModel, waveform_refusal

CPU: Final = "TorchScript-CPU"
CUDA: Final = "TorchScript-CUDA"


def load_torchscript(path: Path, content: bytes, provider: str, threads: int, device_id: int) -> OpenedModel:
    """Open the TorchScript file `path` with this content.

    Raises:
        ModelError: torch is not installed, or the file is not a TorchScript model, or was altered.
        ContractError: The file carries no contract.
        ProviderError: CUDA is requested and torch has none, or `provider` is not one of torch's.
    """
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            f"{path} is a TorchScript model, which needs torch, and torch does not import ({error}). "
            f"Install it with {install_command('training')}, or use the model's .onnx file."
        ) from error
    device = _choose_device(provider, device_id, has_cuda=torch.cuda.is_available())
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # as in `inference/providers.py`: parity needs float32's digits
    network, extra = _load(path, content, device)
    if extra[WAVEFORM_KEY]:
        raise ContractError(waveform_refusal(path))
    if not extra[CONTRACT_KEY]:
        raise ContractError(
            f"{path} is TorchScript without a soundwatch contract ({CONTRACT_KEY!r} in its extra files). "
            "Export the checkpoint with `soundwatch export`."
        )
    contract = decode_contract(extra[CONTRACT_KEY], str(path))
    try:
        content_sha256 = torchscript_content_sha256(content)
    except ValueError as error:
        raise ModelError(f"{path} does not read as TorchScript: {error}. Copy or export the model again.") from error
    declared = extra[CONTENT_KEY]
    check_content(path, content_sha256, (declared if isinstance(declared, str) else declared.decode()) or None)
    running = CPU if device == "cpu" else CUDA
    return OpenedModel(contract, running, partial(_run, path, network, device), content_sha256=content_sha256)


def _load(path: Path, content: bytes, device: str) -> tuple[Any, dict[str, Any]]:
    """Load the network onto a device; return it with the extra files of the archive, empty where one is absent."""
    import torch

    extra = {CONTRACT_KEY: "", CONTENT_KEY: "", WAVEFORM_KEY: ""}
    try:
        with warnings.catch_warnings():
            # torch deprecates torch.jit in favor of torch.export; this format is TorchScript.
            warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", DeprecationWarning)
            network = torch.jit.load(io.BytesIO(content), map_location=device, _extra_files=extra)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0].split(". ")[0].rstrip(".")
        advice = (
            f"If it is a checkpoint of `soundwatch train`, export it: `soundwatch export {path} --out models`."
            if path.suffix == ".pt"
            else "Use a file of `soundwatch export --format torchscript`, or a shipped model, such as urban."
        )
        raise ModelError(f"{path} does not read as TorchScript: {reason}. {advice}") from error
    return network.eval(), extra


def _choose_device(provider: str, device_id: int, *, has_cuda: bool) -> str:
    """Return the torch device for a provider's name: "cpu", or "cuda:0"."""
    if provider not in ("auto", "cpu", "cuda"):
        raise ProviderError(f"Provider {provider} is ONNX Runtime's; for a TorchScript model choose auto, cpu or cuda.")
    if provider == "cuda" and not has_cuda:
        raise ProviderError("CUDA cannot be used: torch sees no CUDA device. Choose provider auto or cpu.")
    return f"cuda:{device_id}" if has_cuda and provider != "cpu" else "cpu"


def _run(path: Path, network: Any, device: str, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run the network on arrays."""
    import torch

    try:
        with torch.inference_mode():
            # A copy, because records' arrays are read-only, which torch does not support.
            output = network(torch.tensor(mel_db, device=device))
            parts = output if isinstance(output, tuple) else (output,)
            return np.concatenate([np.asarray(part.float().cpu().numpy(), np.float32) for part in parts], axis=1)
    except (RuntimeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(f"{path} failed on mel decibels of shape {mel_db.shape}: {reason}.") from error
