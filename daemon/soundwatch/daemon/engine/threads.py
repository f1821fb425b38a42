"""Work of the engine's other threads: one a source reads its blocks, and one runs the model.

Conventions: as in `engine.py`. A handover costs as much as inference, so blocks are handed over once a window. The
model runs one batch at a time, since inference can run at the same time as Python code, and both halves of a long batch
at the same time; finished batches wait in `completed`.
Does not: choose batches (`inference_queue.py`) or act on scores (`emitter.py`).
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from soundwatch.daemon.core.errors import SourceError, unexpected_failure
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.source import GatheringSource, SourceNotice
from soundwatch.daemon.core.records.window import Features
from soundwatch.daemon.engine.source_state import EngineSource, PendingItem
from soundwatch.daemon.inference.classifier import classify_windows
from soundwatch.daemon.inference.providers import CPU
from soundwatch.daemon.pipeline.pipeline import features_only

SHARED_WINDOWS: Final = 8  # fewer are not worth the hand-over to a second thread
RESAMPLER_S: Final = 0.06  # longest delay


def batched_blocks(source: EngineSource, spec: FeatureSpec) -> Iterator[list[Block] | SourceNotice]:
    """Yield a source's blocks in batches, and its notices, until the sound ends; a failure is kept in its session."""
    kept: list[Block] = []
    try:
        live = source.session.source
        gathering = live if isinstance(live, GatheringSource) else None  # once: the check takes 10 to 20 µs
        for delivery in live.blocks():
            if isinstance(delivery, Block):
                kept.append(delivery)
                if gathering is not None:
                    gathering.gather_until(next_window_end(delivery, spec))
                first = source.encoder is None or delivery.lost_samples
                if not first and not _may_fill_a_window(source, kept, spec):
                    continue
            if kept:
                yield kept
                kept = []
            if not isinstance(delivery, Block):  # at once: the next block may be far away
                yield delivery
    except SourceError as error:
        source.session.failure = error
    except Exception as error:  # noqa: BLE001  # a source may fail in any way; the others go on
        source.session.failure = unexpected_failure(source.name, error)
    if kept:
        yield kept


def next_window_end(block: Block, spec: FeatureSpec) -> int:
    """Return the first sample, at the block's rate, after which a window that is not full yet is full.

    Windows end at whole hops of the stream. The resampler gives the last samples of a window a little later.
    """
    delay_samples = round(RESAMPLER_S * block.rate_hz)
    end_sample = block.first_sample + block.samples.shape[1] - delay_samples
    hops = (end_sample * spec.rate_hz // block.rate_hz - spec.window_samples) // spec.window_hop_samples + 1
    window_end: int = spec.window_samples + hops * spec.window_hop_samples
    return -(-window_end * block.rate_hz // spec.rate_hz) + delay_samples


def _may_fill_a_window(source: EngineSource, kept: list[Block], spec: FeatureSpec) -> bool:
    """Return True if the next window ends in the kept blocks, or the blocks are a hop long.

    The window's end may still be in the resampler; the window then comes with the next block.
    """
    rate_hz, first_sample = kept[0].rate_hz, kept[0].first_sample
    end_sample: int = kept[-1].first_sample + kept[-1].samples.shape[1]
    if (end_sample - first_sample) * spec.rate_hz >= spec.window_hop_samples * rate_hz:
        return True
    up_to_date = source.handovers == source.processed_handovers  # else the next window is not known yet
    window_end_sample = source.front_end_state.windowing.first_sample + spec.window_samples
    return up_to_date and end_sample * spec.rate_hz >= window_end_sample * rate_hz


class InferenceThread:
    """A thread that classifies batches, with a second one for half of each long batch on the processor.

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
        self._second = queue.SimpleQueue[tuple[Classifier, list[Features]] | None]()
        self._second_scores = queue.SimpleQueue[list[Scores] | BaseException]()
        self._second_thread = threading.Thread(target=self._run_second, name="inference-2", daemon=True)

    def start(self) -> None:
        """Start both threads; later the system may refuse one."""
        self._thread.start()
        self._second_thread.start()

    def submit(self, batch: list[PendingItem]) -> None:
        """Queue a batch."""
        self._batches.put(batch)

    def close(self, patience_s: float) -> None:
        """End the thread after its batch, but do not wait for longer than this."""
        self._batches.put(None)
        self._thread.join(patience_s)
        self._second.put(None)
        self._second_thread.join(patience_s)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                features = features_only([item.content for item in batch])
                self.completed.append((batch, self._classify(batch[0].context.classifier, features)))
                self._notify(None)
            except BaseException as error:  # noqa: BLE001  # whatever it is, it ends the program in the engine's thread
                self._notify(error)

    def _classify(self, classifier: Classifier, features: list[Features]) -> list[Scores]:
        """Classify windows, half of them in the second thread; the processor computes each window by itself."""
        shared = classifier.provider == CPU and len(features) >= SHARED_WINDOWS
        half = (len(features) + 1) // 2 if shared else len(features)
        if half < len(features):
            self._second.put((classifier, features[half:]))
        others: list[Scores] | BaseException = []
        try:
            scores = classify_windows(classifier, features[:half])
        finally:
            if half < len(features):
                others = self._second_scores.get()
        if isinstance(others, BaseException):
            raise others
        return scores + others

    def _run_second(self) -> None:
        while (work := self._second.get()) is not None:
            try:
                self._second_scores.put(classify_windows(*work))
            except BaseException as error:  # noqa: BLE001  # raised in the first thread
                self._second_scores.put(error)
