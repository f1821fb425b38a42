"""Which of ONNX Runtime's execution providers runs a model, decided before it is asked to.

Conventions: provider names are ONNX Runtime's own (`CPUExecutionProvider`); "cpu", "cuda" and "auto"
stand for the processor, an NVIDIA card, and the card where there is one.
Source: ONNX Runtime lists CUDA as available on machines without a card, and asking for it there
prints two lines of its own and runs on the processor (onnxruntime issues 23372, 17801, 21424).
So CUDA is asked for only where the driver loads, and what runs is read back from the session.
Does not: open models (`classify.py`), or choose devices for torch (`torchscript.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from pathlib import Path
from typing import Final

from soundwatch.daemon.errors import ProviderError

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
_SHORT: Final = {"cpu": CPU, "cuda": CUDA}
_NEEDS_DRIVER: Final = frozenset({CUDA, "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider"})

Provider = str | tuple[str, dict[str, str]]


def choose_provider(wanted: str, require_cuda: bool, available: list[str]) -> str:
    """The provider to ask for.

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
        return CPU if CUDA not in available or cuda_obstacle() else CUDA
    if name not in available:
        raise ProviderError(
            f"Provider {wanted} is not in this ONNX Runtime, which has {', '.join(available)}. "
            "Choose auto, cpu, cuda or one of these, or install a build of onnxruntime that has it."
        )
    obstacle = cuda_obstacle() if name in _NEEDS_DRIVER else None
    if obstacle:
        raise ProviderError(f"{name} cannot be used: {obstacle}. Mend that, or choose provider auto or cpu.")
    return name


def cuda_obstacle() -> str | None:
    """Why CUDA cannot be used on this machine, or None if nothing is known to stand in its way."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError as error:
        return f"the NVIDIA driver does not load ({error})"
    return None


def library_obstacle() -> str:
    """Why ONNX Runtime left CUDA aside although the driver loads, as far as its library tells."""
    import onnxruntime

    library = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return f"CUDA's or cuDNN's libraries do not load ({error})"
    return "ONNX Runtime fell back to the processor without saying why"


def with_options(name: str) -> list[Provider]:
    """What to hand to a session so that `name` runs all it can and the processor the rest."""
    if name == CPU:
        return [CPU]
    if name == CUDA:
        _preload_cuda()
        # TF32 keeps 10 bits of each factor: probabilities would leave the 1e-3 that parity promises.
        return [(CUDA, {"use_tf32": "0"}), CPU]
    return [name, CPU]


def _preload_cuda() -> None:
    """Let ONNX Runtime find the CUDA libraries that pip installed; its prints are no product of ours."""
    import onnxruntime

    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()
