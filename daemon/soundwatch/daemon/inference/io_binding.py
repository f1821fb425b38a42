"""A network on an accelerator: fixed batch shapes, bound buffers, and a warm-up before the first window.

Conventions: in, mel decibels (N, C, M, T) float32; out, (N, K + G) float32, for any N: the outputs' columns one after
another, logits of the classes and scores of the tags. A batch is padded to the
next of `BATCHES`; more windows than the largest are computed in several batches. A window's logits may depend on the
shape by a rounding, since kernels differ.
Why: for each new shape, an accelerator's provider chooses kernels and plans memory, which takes up to
seconds, and its arena keeps the memory of every shape (onnxruntime issues 11627, 22271). Fixed buffers
are locked in memory once, and no run allocates. Locked buffers start at a page and fill whole pages, since a page
cannot be locked twice.
Source: ONNX Runtime's IOBinding and OrtValue; CUDA's `cudaHostRegister`.
Does not: run on the processor, where a batch is computed window by window (`inference/onnx_model.py`).
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BATCHES: Final = (1, 4, 16)


@dataclass(frozen=True, slots=True)
class _Slot:
    """One batch shape.

    Attributes:
        mel_db: (B, C, M, T) in the machine's memory, for gathering a batch.
        on_device: Copy of `mel_db` on the device.
        outputs: (B, K), and (B, G) of a model with tags, in the machine's memory, written by the session.
        binding: Binding of the session to the buffers.
    """

    mel_db: NDArray[np.float32]
    on_device: Any
    outputs: tuple[NDArray[np.float32], ...]
    binding: Any


class BoundSession:
    """A session with bound and warmed-up batch shapes; a function of arrays.

    Args:
        session: Session of ONNX Runtime, with one input.
        input_shape: (C, M, T).
        widths: Number of columns of each output, by its name.
        device: Place of the input: "cuda", or "cpu" for providers that copy it themselves.
        device_id: Number of the card.
    """

    def __init__(
        self,
        session: Any,
        input_shape: tuple[int, int, int],
        widths: dict[str, int],
        device: str,
        device_id: int = 0,
    ) -> None:
        self._session = session
        self._slots = {batch: _bind(session, (batch, *input_shape), widths, device, device_id) for batch in BATCHES}
        for slot in self._slots.values():
            for _ in range(2):  # the first run chooses kernels and allocates
                self._session.run_with_iobinding(slot.binding)

    def __call__(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute outputs (N, K + G) of mel decibels (N, C, M, T)."""
        logits, first = [], 0
        for batch in split_into_batches(len(mel_db)):
            logits.append(self._run(self._slots[batch], mel_db[first : first + batch]))
            first += batch
        return np.concatenate(logits)

    def _run(self, slot: _Slot, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute outputs (N, K + G) of N windows, at most the slot's number; its other rows stay as they are."""
        slot.mel_db[: len(mel_db)] = mel_db
        slot.on_device.update_inplace(slot.mel_db)
        self._session.run_with_iobinding(slot.binding)
        return np.concatenate([output[: len(mel_db)] for output in slot.outputs], axis=1)


def split_into_batches(windows: int) -> list[int]:
    """Return the batch shapes for a number of windows, in order."""
    full, rest = divmod(windows, BATCHES[-1])
    return [BATCHES[-1]] * full + [next(batch for batch in BATCHES if batch >= rest)] * bool(rest)


def _bind(session: Any, shape: Sequence[int], widths: dict[str, int], device: str, device_id: int) -> _Slot:
    """Bind buffers for one batch shape to the session."""
    from onnxruntime import OrtValue

    mel_db, outputs = page_aligned(shape), tuple(page_aligned((shape[0], width)) for width in widths.values())
    if device == "cuda":
        for buffer in (mel_db, *outputs):
            _lock(buffer)
    on_device = OrtValue.ortvalue_from_numpy(mel_db, device, device_id)
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, on_device)
    for name, output in zip(widths, outputs, strict=True):
        binding.bind_ortvalue_output(name, OrtValue.ortvalue_from_numpy(output))
    return _Slot(mel_db, on_device, outputs, binding)


def page_aligned(shape: Sequence[int]) -> NDArray[np.float32]:
    """Allocate zeros that start at a page and share none of their pages."""
    size_bytes = whole_pages(math.prod(shape) * 4)
    memory = np.zeros(size_bytes + mmap.PAGESIZE, np.uint8)
    start = -memory.ctypes.data % mmap.PAGESIZE
    return memory[start : start + math.prod(shape) * 4].view(np.float32).reshape(shape)


def whole_pages(size_bytes: int) -> int:
    """Round a size up to whole pages."""
    return -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


def _lock(array: NDArray[np.float32]) -> bool:
    """Lock an array's pages in memory while it lives, so that the card copies them directly.

    Returns:
        False if the runtime's library is missing or refuses; copies are then slower. A refusal's error is cleared,
        since ONNX Runtime would take it for a failure of its own next call.
    """
    try:
        runtime = ctypes.CDLL("cudart64_13.dll" if sys.platform == "win32" else "libcudart.so.13")
        place, size_bytes = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(whole_pages(array.nbytes))
        if runtime.cudaHostRegister(place, size_bytes, ctypes.c_uint(0)):
            runtime.cudaGetLastError()
            return False
    except (OSError, AttributeError):
        return False
    weakref.finalize(array, runtime.cudaHostUnregister, place).atexit = False  # the driver may have shut down by then
    return True
