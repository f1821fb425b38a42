"""Runs the shadow model in its own thread, and writes the differences and tallies to the journal.

Conventions: `submit` and `end_stream` are called in the engine's thread and never wait. At most `QUEUED_WINDOWS`
windows wait; further ones are dropped and counted. Any failure turns the shadow model off for good, and detection
continues.
Does not: define a difference (`compare.py`), or load models (`build.py`).
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Final

from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.window import Features
from soundwatch.daemon.events.encoder import LineEncoder, round_down
from soundwatch.daemon.events.schema import UNNUMBERED, DifferLine, ShadowLine, ShadowReason
from soundwatch.daemon.inference.classifier import classify_windows
from soundwatch.daemon.journal.entry import LineAppender
from soundwatch.daemon.shadow.compare import (
    ComparisonState,
    ComparisonTally,
    ModelPair,
    ScoreDifference,
    compare,
    finish,
    initial_state,
)

QUEUED_WINDOWS: Final = 8
CLOSING_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Window:
    """A queued window; `dropped_windows` is the number of windows of its stream dropped just before it."""

    stream: LineEncoder
    features: Features
    scores: Scores
    dropped_windows: int


@dataclass(frozen=True, slots=True)
class _StreamEnd:
    """End of a stream."""

    stream: LineEncoder
    at_sample: int
    dropped_windows: int


class ShadowRunner:
    """The running shadow model.

    Args:
        classifier: The shadow model.
        pair: Both models, and the parameters of the comparison.
        journal: Receives the lines.
        log: The log.

    Attributes:
        pair: As given.
        failed: True once the shadow model has failed.
    """

    def __init__(self, classifier: Classifier, pair: ModelPair, journal: LineAppender, log: Logger) -> None:
        self.pair = pair
        self.failed = False
        self._classifier = classifier
        self._journal = journal
        self._log = log
        self._queue = queue.SimpleQueue[_Window | _StreamEnd | None]()
        self._free_slots = threading.Semaphore(QUEUED_WINDOWS)
        self._dropped: dict[str, int] = {}  # used by the engine's thread only
        self._streams: dict[str, tuple[LineEncoder, ComparisonState]] = {}  # used by the runner's thread only
        self._closing: ShadowReason | None = None
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    @property
    def log_fields(self) -> dict[str, object]:
        """Fields of log entries about the shadow model."""
        return {"shadow": self.pair.shadow, "model": self.pair.model, "stride_windows": self.pair.stride_windows}

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, stream: LineEncoder, features: Features, scores: Scores) -> None:
        """Queue a window and the active model's scores for comparison, if the window is due and a slot is free."""
        if self.failed or self._closing is not None or not self.pair.is_due(scores):
            return
        source = stream.source.name
        if not self._free_slots.acquire(blocking=False):
            self._dropped[source] = self._dropped.get(source, 0) + 1
            return
        self._queue.put(_Window(stream, features, scores, self._dropped.pop(source, 0)))

    def end_stream(self, stream: LineEncoder, end_sample: int) -> None:
        """Queue the last tally of a stream."""
        self._queue.put(_StreamEnd(stream, end_sample, self._dropped.pop(stream.source.name, 0)))

    def close(self, reason: ShadowReason) -> None:
        """Compare the queued windows, write the last tallies, and end the thread; waits `CLOSING_S` at most."""
        self._closing = reason
        self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join(CLOSING_S)
            if self._thread.is_alive():
                self._log.warning("shadow_not_stopped", shadow=self.pair.shadow, waited_s=CLOSING_S)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                if not self.failed:
                    self._compare(item) if isinstance(item, _Window) else self._finish(item)
            except Exception as error:  # noqa: BLE001  # no failure of the shadow model may end the daemon
                self._fail(item, error)
            if isinstance(item, _Window):
                self._free_slots.release()
        for stream, state in self._streams.values():
            self._write_tally(stream, state.tally, self._closing or "ended")

    def _compare(self, window: _Window) -> None:
        source = window.stream.source.name
        _, state = self._streams.get(source, (None, initial_state(self.pair)))
        [scores] = classify_windows(self._classifier, [window.features])
        state, results = compare(state, self.pair.for_source(source), window.scores, scores, window.dropped_windows)
        self._streams[source] = window.stream, state
        for result in results:
            if isinstance(result, ScoreDifference):
                self._journal.append(self._differ_line(window.stream, result))
            else:
                self._write_tally(window.stream, result, "interval")

    def _finish(self, end: _StreamEnd) -> None:
        _, state = self._streams.pop(end.stream.source.name, (None, initial_state(self.pair)))
        self._write_tally(end.stream, finish(state, end.dropped_windows, end.at_sample), "ended")

    def _fail(self, item: _Window | _StreamEnd, error: Exception) -> None:
        """Log the failure, write the last tallies, and compare no more windows."""
        self.failed = True
        self._log.warning("shadow_failed", shadow=self.pair.shadow, error=str(error) or type(error).__name__)
        _, state = self._streams.pop(item.stream.source.name, (None, initial_state(self.pair)))
        at_sample = item.scores.end_sample if isinstance(item, _Window) else item.at_sample
        tally = finish(state, item.dropped_windows, at_sample)
        self._journal.append(self._shadow_line(item.stream, tally, "failed"))
        for stream, other in self._streams.values():
            self._write_tally(stream, other.tally, "failed")
        self._streams = {}

    def _write_tally(self, stream: LineEncoder, tally: ComparisonTally, reason: ShadowReason) -> None:
        if tally.windows or tally.dropped_windows:
            self._journal.append(self._shadow_line(stream, tally, reason))

    def _differ_line(self, stream: LineEncoder, difference: ScoreDifference) -> DifferLine:
        pair, class_id = self.pair.for_source(stream.source.name), difference.class_id
        return DifferLine(
            seq=UNNUMBERED,
            time=stream.format_time(difference.at_sample),
            node=stream.node,
            source=stream.source.name,
            class_=pair.labels[class_id],
            score=round_down(difference.score),
            threshold=pair.thresholds[class_id],
            shadow_score=round_down(difference.shadow_score),
            shadow_threshold=pair.shadow_thresholds[class_id],
            model=pair.model,
            shadow=pair.shadow,
        )

    def _shadow_line(self, stream: LineEncoder, tally: ComparisonTally, reason: ShadowReason) -> ShadowLine:
        first_sample = tally.end_sample if tally.first_sample is None else tally.first_sample
        mean_difference = tally.mean_difference

        def by_label(counts: tuple[int, ...]) -> dict[str, int]:
            return dict(zip(self.pair.labels, counts, strict=True))

        return ShadowLine(
            seq=UNNUMBERED,
            time=stream.format_time(tally.end_sample),
            node=stream.node,
            source=stream.source.name,
            start=stream.format_time(first_sample),
            model=self.pair.model,
            shadow=self.pair.shadow,
            windows=tally.windows,
            dropped_windows=tally.dropped_windows,
            untold=tally.unreported,
            mean_difference=None if mean_difference is None else round(mean_difference, 4),
            both=by_label(tally.both),
            only_model=by_label(tally.only_model),
            only_shadow=by_label(tally.only_shadow),
            reason=reason,
        )
