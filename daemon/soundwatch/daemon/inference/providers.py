"""Execution providers of ONNX Runtime: which can be used on this machine, with which options, and which is the fastest.

Conventions: provider names are ONNX Runtime's own (`CPUExecutionProvider`); "cpu" and "cuda" stand for the processor
and an NVIDIA card, "auto" for the fastest, as measured at the start. Times are milliseconds for one window.
Source: ONNX Runtime lists CUDA and TensorRT as available on machines without a card, and a request for them there
prints two lines and runs on the processor (onnxruntime issues 23372, 17801, 21424).
So a provider is requested only if its driver and libraries load, and the session is asked for what it runs.
CUDA 13 needs a driver of version 580 or newer and a card of compute capability 7.5 (Turing) or newer.
Does not: open or measure models (`inference/onnx_model.py`), or choose devices for torch
(`inference/torchscript_model.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from soundwatch.daemon.core.errors import ProviderError
from soundwatch.daemon.core.process.extras import install_command

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"
# Candidates of auto. TensorRT is not among them: it builds its engines at every start, for minutes.
AUTO_CANDIDATES: Final = (CUDA, "DmlExecutionProvider", "CoreMLExecutionProvider", "OpenVINOExecutionProvider")
MIN_SPEEDUP: Final = 2.0  # an accelerator's driver context takes some hundred megabytes of memory
CUDA_VERSION: Final = 13_000
CUDA_CAPABILITY: Final = (7, 5)
_CAPABILITY_ATTRIBUTES: Final = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_DRIVER_ERRORS: Final = {
    2: "out of memory",
    3: "not initialized",
    100: "no card",
    101: "no such card",
    802: "system not ready",
    803: "driver and library versions differ; restart the machine",
    804: "the driver is too old for its library",
    999: "unknown error; `dmesg` may show more",
}
_SHORT: Final = {"cpu": CPU, "cuda": CUDA}
_LIBRARIES: Final = {CUDA: "cuda", TENSORRT: "tensorrt"}
NVIDIA_PROVIDERS: Final = frozenset({*_LIBRARIES, "NvTensorRTRTXExecutionProvider"})

Provider = str | tuple[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class CardOptions:
    """GPU to use, and the limit of its memory.

    Attributes:
        device_id: Number of the card, as the driver counts.
        memory_bytes: Limit of ONNX Runtime's memory on the card; 16 windows of the default network need some 30 MB.
    """

    device_id: int = 0
    memory_bytes: int = 512 * 1024 * 1024


def choose_provider(wanted: str, available: list[str], card: CardOptions) -> str:
    """Return the provider to request, or "auto".

    Args:
        wanted: "auto", "cpu", "cuda", or a provider's own name.
        available: Providers of this build of ONNX Runtime.
        card: Card to use.

    Raises:
        ProviderError: The wanted provider cannot be used on this machine.
    """
    name = _SHORT.get(wanted, wanted)
    if name == "auto":
        return name
    if name not in available:
        raise ProviderError(
            f"Provider {wanted} is not in this ONNX Runtime, which has {', '.join(available)}. "
            "Choose auto, cpu, cuda or one of these, or install a build of onnxruntime that has it."
        )
    reason = unavailable_reason(name, card)
    if reason:
        raise ProviderError(f"{name} cannot be used: {reason}. Fix that, or choose provider auto or cpu.")
    return name


def candidate_accelerators(available: list[str], card: CardOptions) -> dict[str, str | None]:
    """Return the candidates of auto in this build, each with the reason that it cannot be used, or None."""
    return {name: unavailable_reason(name, card) for name in AUTO_CANDIDATES if name in available}


def fastest_provider(window_ms: Mapping[str, float]) -> str:
    """Return the fastest accelerator if it takes at most half of the processor's time, else the processor."""
    best = min(window_ms, key=window_ms.__getitem__)
    return best if window_ms[best] * MIN_SPEEDUP <= window_ms[CPU] else CPU


def unavailable_reason(name: str, card: CardOptions) -> str | None:
    """Return the reason that a provider cannot be used on this machine, or None if none is known."""
    reason = cuda_unavailable_reason(card.device_id) if name in NVIDIA_PROVIDERS else None
    return reason or (_library_fault(name) if name in _LIBRARIES else None)


def cuda_unavailable_reason(device_id: int = 0) -> str | None:
    """Return the reason that an NVIDIA card cannot be used, by its driver, or None."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError as error:
        return f"the NVIDIA driver does not load ({error})"
    try:
        return _card_fault(driver, device_id)
    except AttributeError as error:
        return f"the NVIDIA driver is incomplete ({error})"
    except _DriverRefusalError as error:
        return str(error)


class _DriverRefusalError(Exception):
    """A call of the driver failed; the message gives the reason."""


def _card_fault(driver: Any, device_id: int) -> str | None:
    """Ask the driver for its version and the card."""
    _call(driver, "cuInit", 0)
    version, cards, card = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    _call(driver, "cuDriverGetVersion", ctypes.byref(version))
    if version.value < CUDA_VERSION:
        seen = f"{version.value // 1000}.{version.value % 1000 // 10}"
        return f"the NVIDIA driver supports CUDA {seen}, and CUDA 13 needs a driver of version 580 or newer"
    _call(driver, "cuDeviceGetCount", ctypes.byref(cards))
    if device_id >= cards.value:
        return f"there is no card {device_id}; the driver has {cards.value}, counted from 0"
    _call(driver, "cuDeviceGet", ctypes.byref(card), device_id)
    capability = []
    for attribute in _CAPABILITY_ATTRIBUTES:
        value = ctypes.c_int()
        _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), attribute, card)
        capability.append(value.value)
    if tuple(capability) < CUDA_CAPABILITY:
        seen = ".".join(map(str, capability))
        return f"the card has compute capability {seen}, and CUDA 13 needs 7.5 (Turing) or newer"
    return None


def _call(driver: Any, function: str, *arguments: Any) -> None:
    """Call a function of the driver.

    Raises:
        _DriverRefusalError: The call failed.
        AttributeError: The driver has no such function.
    """
    status = getattr(driver, function)(*arguments)
    if status:
        reason = _DRIVER_ERRORS.get(status, "see the error codes of CUDA's driver API")
        raise _DriverRefusalError(f"the NVIDIA driver refuses {function} with error {status}: {reason}")


def _library_fault(name: str) -> str | None:
    """Return the reason that ONNX Runtime's own library for a provider does not load, or None."""
    import onnxruntime

    _preload_cuda()
    capi = Path(onnxruntime.__file__).parent / "capi"
    library = capi / f"libonnxruntime_providers_{_LIBRARIES[name]}.so"
    if not library.exists():
        return None  # another system's build; the session will show if it runs
    try:
        ctypes.CDLL(str(capi / "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)  # the library needs it
        ctypes.CDLL(str(library))
    except OSError as error:
        return f"its libraries do not load ({error}); install them with {install_command('cuda')}"
    return None


def provider_options(name: str, card: CardOptions) -> list[Provider]:
    """Return the providers of a session: `name` runs the operators that it supports, the processor the rest."""
    if name == CPU:
        return [CPU]
    cuda = {
        "device_id": str(card.device_id),
        "use_tf32": "0",  # TF32 keeps 10 bits of each factor: scores would differ by more than 1e-3
        "gpu_mem_limit": str(card.memory_bytes),
        "arena_extend_strategy": "kSameAsRequested",  # the default doubles the memory at each extension
        "cudnn_conv_algo_search": "HEURISTIC",  # the default measures kernels, with other results at each start
    }
    own: list[Provider] = []
    if name != CUDA:
        own = [(name, {"device_id": str(card.device_id)}) if name in _LIBRARIES else name]
    return [*own, *([(CUDA, cuda)] if name in _LIBRARIES else []), CPU]


def _preload_cuda() -> None:
    """Load the CUDA libraries that pip installed, without ONNX Runtime's output."""
    import onnxruntime

    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()
