"""A network on an accelerator: a few fixed batch shapes, buffers bound once, all run before the first sound is heard.

Conventions: in, mel decibels (N, C, M, T) float32; out, logits (N, K) float32, for any N. A batch is filled up to the
next of `BATCHES`; what is more than the largest is done in turns. A window's logits may depend on the shape it is
computed in (kernels differ), by a rounding.
Why: for each shape that it meets, an accelerator's provider chooses kernels and plans memory, which takes up to
seconds, and its arena keeps what every shape ever needed (onnxruntime issues 11627, 22271). Buffers that stay in place
are locked in memory once, and no run allocates.
Source: ONNX Runtime's IOBinding and OrtValue; CUDA's `cudaHostRegister`.
Does not: run on the processor, where a batch is computed window by window (`inference/onnx_model.py`).
"""

from __future__ import annotations

import ctypes
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
        mel_db: (B, C, M, T) in the machine's memory, where a batch is gathered.
        on_device: The same on the device.
        logits: (B, K) in the machine's memory, where the session writes them.
        binding: Of the session to the two.
    """

    mel_db: NDArray[np.float32]
    on_device: Any
    logits: NDArray[np.float32]
    binding: Any


class BoundSession:
    """A session whose every batch shape is bound and warm; a function of arrays.

    Args:
        session: Of ONNX Runtime, with one input and one output.
        input_shape: (C, M, T).
        classes: K.
        device: Where the input is to lie: "cuda", or "cpu" for providers that fetch it themselves.
    """

    def __init__(self, session: Any, input_shape: tuple[int, int, int], classes: int, device: str) -> None:
        self._session = session
        self._slots = {batch: _bind(session, (batch, *input_shape), classes, device) for batch in BATCHES}
        for slot in self._slots.values():
            for _ in range(2):  # the first chooses kernels and allocates
                self._session.run_with_iobinding(slot.binding)

    def __call__(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (N, K) of mel decibels (N, C, M, T)."""
        logits, first = [], 0
        for batch in split_into_batches(len(mel_db)):
            logits.append(self._run(self._slots[batch], mel_db[first : first + batch]))
            first += batch
        return np.concatenate(logits)

    def _run(self, slot: _Slot, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (N, K) of N windows, at most as many as the slot takes; its other rows hold what they held."""
        slot.mel_db[: len(mel_db)] = mel_db
        slot.on_device.update_inplace(slot.mel_db)
        self._session.run_with_iobinding(slot.binding)
        return slot.logits[: len(mel_db)].copy()


def split_into_batches(windows: int) -> list[int]:
    """The batch shapes that so many windows are computed in, one after another."""
    full, rest = divmod(windows, BATCHES[-1])
    return [BATCHES[-1]] * full + [next(batch for batch in BATCHES if batch >= rest)] * bool(rest)


def _bind(session: Any, shape: Sequence[int], classes: int, device: str) -> _Slot:
    """Buffers for one batch shape, bound to the session."""
    from onnxruntime import OrtValue

    mel_db, logits = np.zeros(shape, np.float32), np.zeros((shape[0], classes), np.float32)
    if device == "cuda":
        _lock(mel_db)
        _lock(logits)
    on_device = OrtValue.ortvalue_from_numpy(mel_db, device, 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, on_device)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, OrtValue.ortvalue_from_numpy(logits))
    return _Slot(mel_db, on_device, logits, binding)


def _lock(array: NDArray[np.float32]) -> None:
    """Keep an array's pages in place while it lives, so that the card fetches them by itself.

    Where the runtime's library is not found, or refuses, copies are slower and nothing else is other.
    """
    try:
        runtime = ctypes.CDLL("cudart64_13.dll" if sys.platform == "win32" else "libcudart.so.13")
        place, size_bytes = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
        refused = runtime.cudaHostRegister(place, size_bytes, ctypes.c_uint(0))
    except (OSError, AttributeError):
        return
    if not refused:
        weakref.finalize(array, runtime.cudaHostUnregister, place).atexit = False  # the card may have gone by then
