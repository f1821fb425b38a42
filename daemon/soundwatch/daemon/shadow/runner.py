"""Runs the second model: a thread of its own classifies what it is handed, and tells where the two differ.

Conventions: `take` and `end` are called in the engine's thread and never wait; `QUEUED_WINDOWS` wait, and any more are
dropped and counted. Whatever fails turns this off, once and for all, and nothing else: listening goes on.
Does not: decide what a difference is (`compare.py`), or open models (`opening.py`).
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Final

from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.core.types import Classifier, Features, Scores
from soundwatch.daemon.events.encoder import LineEncoder, round_down
from soundwatch.daemon.events.schema import UNNUMBERED, LineAppender
from soundwatch.daemon.events.shadow_schema import DifferLine, ShadowLine, ShadowReason
from soundwatch.daemon.inference.classifier import classify_windows
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
    """A window that waits for the second model; `dropped_windows` of its stream came right before it."""

    stream: LineEncoder
    features: Features
    scores: Scores
    dropped_windows: int


@dataclass(frozen=True, slots=True)
class _Over:
    """A stream that is over."""

    stream: LineEncoder
    at_sample: int
    dropped_windows: int


class ShadowRunner:
    """The second model, beside the first.

    Args:
        classifier: The second model.
        pair: Both, and what is compared of them.
        journal: Where it is told.
        log: The log.
    """

    def __init__(self, classifier: Classifier, pair: ModelPair, journal: LineAppender, log: Logger) -> None:
        self.pair = pair
        self.failed = False
        self._classifier = classifier
        self._journal = journal
        self._log = log
        self._waiting = queue.SimpleQueue[_Window | _Over | None]()
        self._room = threading.Semaphore(QUEUED_WINDOWS)
        self._dropped: dict[str, int] = {}  # the engine's thread alone
        self._streams: dict[str, tuple[LineEncoder, ComparisonState]] = {}  # this thread alone
        self._closing: ShadowReason | None = None
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    @property
    def facts(self) -> dict[str, object]:
        """What the log says of it."""
        return {"shadow": self.pair.shadow, "model": self.pair.model, "every_windows": self.pair.every}

    def start(self) -> None:
        """Begin, once it is sure that this one is wanted."""
        self._thread.start()

    def take(self, stream: LineEncoder, features: Features, scores: Scores) -> None:
        """Hold a window against the first model's scores of it soon, if it is its turn and there is time."""
        if self.failed or self._closing is not None or not self.pair.is_due(scores):
            return
        source = stream.source.name
        if not self._room.acquire(blocking=False):
            self._dropped[source] = self._dropped.get(source, 0) + 1
            return
        self._waiting.put(_Window(stream, features, scores, self._dropped.pop(source, 0)))

    def end(self, stream: LineEncoder, end_sample: int) -> None:
        """No more windows of this stream will come."""
        self._waiting.put(_Over(stream, end_sample, self._dropped.pop(stream.source.name, 0)))

    def close(self, reason: ShadowReason) -> None:
        """Compare what waits, tell how it went, and end; ten seconds at most."""
        self._closing = reason
        self._waiting.put(None)
        if self._thread.ident is not None:
            self._thread.join(CLOSING_S)
            if self._thread.is_alive():
                self._log.warning(
                    "the shadow model did not end; what it found last is not told", shadow=self.pair.shadow
                )

    def _run(self) -> None:
        while (each := self._waiting.get()) is not None:
            try:
                if not self.failed:
                    self._hear(each) if isinstance(each, _Window) else self._conclude(each)
            except Exception as error:  # noqa: BLE001  # the shadow may fail, in whatever way; the daemon may not
                self._fail(each, error)
            if isinstance(each, _Window):
                self._room.release()
        for stream, compared in self._streams.values():
            self._tell_tally(stream, compared.tally, self._closing or "ended")

    def _hear(self, window: _Window) -> None:
        source = window.stream.source.name
        _, before = self._streams.get(source, (None, initial_state(self.pair)))
        [scores] = classify_windows(self._classifier, [window.features])
        compared, told = compare(before, self.pair, window.scores, scores, window.dropped_windows)
        self._streams[source] = window.stream, compared
        for each in told:
            if isinstance(each, ScoreDifference):
                self._journal.append(self._differ_line(window.stream, each))
            else:
                self._tell_tally(window.stream, each, "interval")

    def _conclude(self, over: _Over) -> None:
        _, compared = self._streams.pop(over.stream.source.name, (None, initial_state(self.pair)))
        self._tell_tally(over.stream, finish(compared, over.dropped_windows, over.at_sample), "ended")

    def _fail(self, each: _Window | _Over, error: Exception) -> None:
        """Say so, tell what was found so far, and hear nothing more."""
        self.failed = True
        self._log.warning(
            "the shadow model has failed and is turned off; listening goes on",
            shadow=self.pair.shadow,
            error=str(error) or type(error).__name__,
        )
        _, compared = self._streams.pop(each.stream.source.name, (None, initial_state(self.pair)))
        at_sample = each.scores.end_sample if isinstance(each, _Window) else each.at_sample
        tally = finish(compared, each.dropped_windows, at_sample)
        self._journal.append(self._shadow_line(each.stream, tally, "failed"))
        for stream, others in self._streams.values():
            self._tell_tally(stream, others.tally, "failed")
        self._streams = {}

    def _tell_tally(self, stream: LineEncoder, tally: ComparisonTally, reason: ShadowReason) -> None:
        if tally.windows or tally.dropped_windows:
            self._journal.append(self._shadow_line(stream, tally, reason))

    def _differ_line(self, stream: LineEncoder, difference: ScoreDifference) -> DifferLine:
        pair, class_id = self.pair, difference.class_id
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

        def named(counts: tuple[int, ...]) -> dict[str, int]:
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
            untold=tally.untold,
            mean_difference=None if mean_difference is None else round(mean_difference, 4),
            both=named(tally.both),
            only_model=named(tally.only_model),
            only_shadow=named(tally.only_shadow),
            reason=reason,
        )
