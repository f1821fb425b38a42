"""Which of ONNX Runtime's execution providers may run a model here, and which of several is taken.

Conventions: provider names are ONNX Runtime's own (`CPUExecutionProvider`); "cpu" and "cuda" stand for the processor
and an NVIDIA card, "auto" for the quickest of what may be used, as measured at the start. Costs are milliseconds of the
clock for one window.
Source: ONNX Runtime lists CUDA and TensorRT as available on machines without a card, and asking for them there
prints two lines of its own and runs on the processor (onnxruntime issues 23372, 17801, 21424).
So a provider is asked for only where its libraries load, and what runs is read back from the session.
Does not: open or measure models (`inference/onnx_model.py`), or choose devices for torch
(`inference/torchscript_model.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import ProviderError

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"
# What auto may measure. TensorRT is not among them: it builds its engines anew at every start, for minutes.
AUTO_CANDIDATES: Final = (CUDA, "DmlExecutionProvider", "CoreMLExecutionProvider", "OpenVINOExecutionProvider")
MIN_SPEEDUP: Final = 2.0  # an accelerator holds a driver's context, some hundred megabytes: it has to earn them
_SHORT: Final = {"cpu": CPU, "cuda": CUDA}
_LIBRARIES: Final = {CUDA: "cuda", TENSORRT: "tensorrt"}
NVIDIA_PROVIDERS: Final = frozenset({*_LIBRARIES, "NvTensorRTRTXExecutionProvider"})
_CARD_MEMORY_BYTES: Final = 512 * 1024 * 1024  # 16 windows of the default network need some 30 MB

Provider = str | tuple[str, dict[str, str]]


def choose_provider(wanted: str, require_cuda: bool, available: list[str]) -> str:
    """The provider to ask for, or "auto" where that is to be measured.

    Args:
        wanted: "auto", "cpu", "cuda", or a provider's own name.
        require_cuda: Whether CUDA is demanded, whatever `wanted` leaves open.
        available: What this build of ONNX Runtime has.

    Raises:
        ProviderError: What is wanted cannot be had here, or contradicts `require_cuda`.
    """
    name = _SHORT.get(wanted, wanted)
    if require_cuda:
        if name not in ("auto", CUDA):
            raise ProviderError(f"CUDA is required, and provider {wanted} is asked for; leave one of the two out.")
        name = CUDA
    if name == "auto":
        return "auto" if candidate_accelerators(available) else CPU
    if name not in available:
        raise ProviderError(
            f"Provider {wanted} is not in this ONNX Runtime, which has {', '.join(available)}. "
            "Choose auto, cpu, cuda or one of these, or install a build of onnxruntime that has it."
        )
    reason = unavailable_reason(name)
    if reason:
        raise ProviderError(f"{name} cannot be used: {reason}. Mend that, or choose provider auto or cpu.")
    return name


def candidate_accelerators(available: list[str]) -> list[str]:
    """The accelerators that may be quicker than the processor, as far as is known without opening a model."""
    return [name for name in AUTO_CANDIDATES if name in available and not unavailable_reason(name)]


def fastest_provider(window_ms: Mapping[str, float]) -> str:
    """The processor, unless an accelerator takes half its time at most: then the quickest of them."""
    best = min(window_ms, key=window_ms.__getitem__)
    return best if window_ms[best] * MIN_SPEEDUP <= window_ms[CPU] else CPU


def unavailable_reason(name: str) -> str | None:
    """Why a provider cannot be used on this machine, or None if nothing is known to stand in its way."""
    reason = cuda_unavailable_reason() if name in NVIDIA_PROVIDERS else None
    return reason or (_library_obstacle(name) if name in _LIBRARIES else None)


def cuda_unavailable_reason() -> str | None:
    """Why no NVIDIA card can be used on this machine, or None if its driver loads."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError as error:
        return f"the NVIDIA driver does not load ({error})"
    return None


def _library_obstacle(name: str) -> str | None:
    """Why ONNX Runtime's own library for a provider does not load, where it keeps one beside itself."""
    import onnxruntime

    _preload_cuda()
    capi = Path(onnxruntime.__file__).parent / "capi"
    library = capi / f"libonnxruntime_providers_{_LIBRARIES[name]}.so"
    if not library.exists():
        return None  # another system's build; whether it runs, the session tells
    try:
        ctypes.CDLL(str(capi / "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)  # which it looks for
        ctypes.CDLL(str(library))
    except OSError as error:
        return f"its libraries do not load ({error})"
    return None


def provider_options(name: str) -> list[Provider]:
    """What to hand to a session so that `name` runs all it can and the processor the rest."""
    if name == CPU:
        return [CPU]
    cuda = {
        "use_tf32": "0",  # TF32 keeps 10 bits of each factor: scores would leave the 1e-3 that parity promises
        "gpu_mem_limit": str(_CARD_MEMORY_BYTES),
        "arena_extend_strategy": "kSameAsRequested",  # by default what is held doubles each time
        "cudnn_conv_algo_search": "HEURISTIC",  # by default kernels are chosen by a race: others at each start
    }
    return [*([] if name == CUDA else [name]), *([(CUDA, cuda)] if name in _LIBRARIES else []), CPU]


def _preload_cuda() -> None:
    """Let ONNX Runtime find the CUDA libraries that pip installed; its prints are no product of ours."""
    import onnxruntime

    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()
