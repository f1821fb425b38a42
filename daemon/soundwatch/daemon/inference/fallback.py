"""Fallback of an accelerator that fails or hangs in mid-run to the processor.

Conventions: in, mel decibels (N, C, M, T) float32; out, logits (N, K). The accelerator runs in its own thread, since a
kernel that hangs cannot be interrupted; after `HUNG_S` its thread is abandoned.
Rule: the first failure ends the use of the accelerator until the next start, and the waiting windows are computed on
the processor, so that no window is lost.
Does not: report the change. The engine compares `provider` after each batch and writes a `health` line.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.inference.opened_model import Logits

HUNG_S: Final = 10.0  # every batch shape was run before, in milliseconds


class FallbackNetwork:
    """A network on an accelerator, with a second session on the processor; a function of arrays.

    Args:
        provider: Provider of the accelerator.
        accelerated: The network on the accelerator.
        fallback_provider: Provider of the processor.
        fallback: The network on the processor.
        hung_s: Longest time of one call.
    """

    def __init__(
        self,
        provider: str,
        accelerated: Logits,
        fallback_provider: str,
        fallback: Logits,
        hung_s: float = HUNG_S,
    ) -> None:
        self.provider = provider
        self.failure: str | None = None
        self._accelerated, self._fallback_provider, self._fallback = accelerated, fallback_provider, fallback
        self._hung_s = hung_s
        self._lock = threading.Lock()  # one call at a time: the accelerator's buffers are shared
        self._calls: queue.SimpleQueue[tuple[NDArray[np.float32], Future[NDArray[np.float32]]]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="accelerator", daemon=True).start()

    def __call__(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute logits (N, K) of mel decibels (N, C, M, T).

        Raises:
            ModelError: The processor's network failed as well.
        """
        with self._lock:
            if self.failure is None:
                logits = self._accelerate(mel_db)
                if logits is not None:
                    return logits
        return self._fallback(mel_db)

    def _accelerate(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Run the accelerator; None if it failed."""
        result: Future[NDArray[np.float32]] = Future()
        self._calls.put((mel_db, result))
        try:
            logits = result.result(self._hung_s)
            if np.isfinite(logits).all():
                return logits
            reason = "it gave a logit that is not a finite number"
        except TimeoutError:
            reason = f"it gave no result for {self._hung_s:g} s"
        except Exception as error:  # noqa: BLE001  # ONNX Runtime's errors have no common base class
            reason = " ".join(str(error).split()) or type(error).__name__
        self.failure = f"{self.provider} failed: {reason}; {self._fallback_provider} continues until the next start"
        self.provider = self._fallback_provider
        return None

    def _serve(self) -> None:
        """Run the accelerator in this thread until its first failure."""
        while True:
            mel_db, result = self._calls.get()
            try:
                result.set_result(self._accelerated(mel_db))
            except Exception as error:  # noqa: BLE001  # raised again in the calling thread
                result.set_exception(error)
                return
