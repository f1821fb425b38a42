"""The thread that runs the model, since inference can run beside Python code.

Conventions: one batch at a time; finished batches wait in `completed`, and `notify` runs on the engine's thread.
Does not: choose batches (`inference_queue.py`) or act on scores (`emitter.py`).
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable

from soundwatch.daemon.core.types import Scores
from soundwatch.daemon.engine.source_state import PendingItem
from soundwatch.daemon.inference.classifier import classify_windows
from soundwatch.daemon.pipeline.pipeline import features_only


class InferenceThread:
    """A thread that classifies batches.

    Args:
        notify: Called from the thread after each batch: with None if it is completed, else with the exception.

    Attributes:
        completed: Batches with the scores of their windows, oldest first.
    """

    def __init__(self, notify: Callable[[BaseException | None], object]) -> None:
        self._notify = notify
        self._batches = queue.SimpleQueue[list[PendingItem] | None]()
        self.completed = deque[tuple[list[PendingItem], list[Scores]]]()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, batch: list[PendingItem]) -> None:
        """Queue a batch."""
        self._batches.put(batch)

    def close(self, patience_s: float) -> None:
        """End the thread after its batch, but do not wait for longer than this."""
        self._batches.put(None)
        self._thread.join(patience_s)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                features = features_only([item.content for item in batch])
                self.completed.append((batch, classify_windows(batch[0].context.classifier, features)))
                self._notify(None)
            except BaseException as error:  # noqa: BLE001  # whatever it is, it ends the program in the engine's thread
                self._notify(error)
