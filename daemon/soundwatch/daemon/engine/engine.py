"""All sources' sound through one network: each source is captured in a thread of its own, all else is here.

Conventions: one thread, the caller's, takes every block through the pipeline and writes every line; one more runs the
network, since that can go on beside Python. A source's thread keeps its blocks until a window can be full, so that the
hand-over and the resampler are paid for once a window. Windows that are ready while the network runs are classified
together as soon as it is free, so none waits longer than one batch lasts, and a lone source's does not wait at all.
Times are nanoseconds of a monotonic clock.
A machine that is too slow is `engine/inference_queue.py`'s to deal with.
Does not: open sources or models (`app/build.py`).
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.core.source import ClockCorrection, SourceNotice, SourceStateChange, SourceTransition
from soundwatch.daemon.core.types import Block, FeatureWindow, Gap, Scores
from soundwatch.daemon.detection.decide import initial_state
from soundwatch.daemon.engine.capture_thread import batched_blocks
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.emitter import emit_lines
from soundwatch.daemon.engine.inference_queue import MAX_PENDING_WINDOWS, InferenceQueue
from soundwatch.daemon.engine.liveness import EngineProgress, TickHandler
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.engine.source_state import (
    MAX_HANDOVERS,
    EngineSource,
    ModelSwap,
    PendingItem,
    accumulate_skipped,
    mark_paused,
    prepend_skipped,
)
from soundwatch.daemon.events.encoder import overload_line
from soundwatch.daemon.frontend.resample import coalesce_blocks
from soundwatch.daemon.inference.classifier import classify_windows, log_fields
from soundwatch.daemon.pipeline.pipeline import DetectionState, extract_features, features_only, flush_features

WAKE_S: Final = 0.5  # how often the main thread looks up on Windows, where a wait keeps signals out
CLOSING_S: Final = 5.0


class Engine:
    """What all sources go through.

    Args:
        context: What they share.
        log: The log.
        now_ns: A monotonic clock.
        watch: Called at each turn of the loop with where the engine stands, and when that was.
    """

    def __init__(
        self,
        context: EngineContext,
        log: Logger,
        now_ns: Callable[[], int] = time.monotonic_ns,
        watch: TickHandler = lambda *_: None,
    ) -> None:
        self._context = context
        self._log = log
        self._provider = context.classifier.provider
        self._spec = context.classifier.contract.features
        self._now_ns = now_ns
        self._watch = watch
        self._progress = EngineProgress(now_ns())
        self._backlog = InferenceQueue(self._spec, now_ns)
        self._voices = list[EngineSource]()
        self._threads = list[threading.Thread]()
        self._going_on = 0
        self._inbox = queue.SimpleQueue[Callable[[], None]]()  # what is to be done here, whoever found it
        self._batches = queue.SimpleQueue[list[PendingItem] | None]()
        self._classified = deque[tuple[list[PendingItem], list[Scores]]]()

    def voice(self, listening: SourceSession) -> EngineSource:
        """A source that is about to be heard."""
        voice = EngineSource(
            listening, DetectionState(initial_state(self._context.rules)), clip_tap=self._context.clip_tap
        )
        self._progress.voices.append(voice)
        return voice

    def run(self, sessions: Sequence[SourceSession]) -> None:
        """Listen until all are done; one that broke keeps its `failure`.

        Raises:
            SinkError: No line can be written any more.
            ModelError: The network failed.
        """
        network = threading.Thread(target=self._classify, daemon=True)
        network.start()
        for listening in sessions:
            self._begin(listening)
        try:
            while self._backlog.running or self._backlog or self._going_on:
                with contextlib.suppress(queue.Empty):
                    self._inbox.get(timeout=WAKE_S)()
                while self._classified:  # before any more blocks, so that the network is not kept waiting by them
                    self.tell(*self._classified.popleft())
                while self._backlog and not self._backlog.running:
                    self._hand_over(self.next_batch())
                self._watch(self._progress, self._now_ns())
        finally:
            self._batches.put(None)
            for voice in self._voices:
                voice.listening.stop()
                voice.handover_slots.release(MAX_HANDOVERS)
            for thread in (network, *self._threads):
                thread.join(CLOSING_S)

    def add(self, listening: SourceSession) -> None:
        """Hear one more source. For any thread."""
        self._inbox.put(partial(self._begin, listening))

    def drop(self, listening: SourceSession) -> None:
        """Hear a source no longer; its events end as at a shutdown. For any thread."""
        self._inbox.put(partial(self._drop, listening))

    def exchange(self, context: EngineContext) -> None:
        """Decide by other rules or another network from the next window on. For any thread.

        The front end has to be the same, so that no window is missed.
        """
        self._inbox.put(partial(self._exchange, context))

    def _begin(self, listening: SourceSession) -> None:
        voice = self.voice(listening)
        thread = threading.Thread(target=self._capture, args=(voice,), daemon=True)
        self._voices.append(voice)
        self._threads.append(thread)
        self._going_on += 1
        thread.start()

    def _drop(self, listening: SourceSession) -> None:
        listening.stop()
        for voice in self._voices:
            voice.dropped = voice.dropped or voice.listening is listening

    def _exchange(self, context: EngineContext) -> None:
        before, self._context, self._provider = self._context, context, context.classifier.provider
        if context.classifier is not before.classifier:
            for voice in self._voices:
                if voice.stream is not None and voice.state != "over":
                    end_sample = voice.front_end_state.windowing.end_sample
                    self._backlog.put(PendingItem(before, voice, ModelSwap(context), self._now_ns(), end_sample))

    def take(self, voice: EngineSource, block: Block | None, since_ns: int) -> None:
        """A source's next block, which came at `since_ns`, or None where its sound ended by itself."""
        if voice.stream is None:
            if block is None:
                return
            voice.stream = self._context.stream(voice.listening.source)
            self._context.journal.append(voice.stream.hello())
        if voice.paused and block is not None:
            voice.skipped = accumulate_skipped(voice.skipped, block)
            return
        resumed = voice.skipped is not None
        voice.front_end_state, heard = extract_features(
            voice.front_end_state, prepend_skipped(voice, block), self._spec, self._backlog.every
        )
        self._line_up(voice, mark_paused(heard) if resumed else heard, since_ns)
        if not voice.waits:
            self._weigh(since_ns)

    def meet(self, voice: EngineSource, news: SourceNotice) -> None:
        """A source is waited for, lost or back, its sound is examined, or its times are moved."""
        now_ns, source = self._now_ns(), voice.listening.source.info.name
        if isinstance(news, SourceStateChange) and news.state in ("lost", "paused"):
            voice.front_end_state, heard = flush_features(voice.front_end_state, self._spec, self._backlog.every)
            self._line_up(voice, heard, now_ns)
        self._backlog.put(PendingItem(self._context, voice, news, now_ns, voice.front_end_state.windowing.end_sample))
        if isinstance(news, SourceStateChange):
            voice.state = "heard" if news.state in ("back", "resumed") else "away"
            write = self._log.info if voice.state == "heard" else self._log.warning
            write(f"source_{news.state}", source=source, reason=news.detail)
        elif isinstance(news, ClockCorrection):
            self._log.warning("source_clock_corrected", source=source, reason=news.reason, shift_s=news.shift_ns / 1e9)
        elif news.changed:
            write = self._log.warning if news.faults else self._log.info
            write(f"audio_quality_{'poor' if news.faults else 'good'}", source=source, faults=", ".join(news.faults))

    def switch(self, source: str, listen: bool) -> None:
        """Pause a source, so that its sound is thrown away unheard, or listen to it again. For any thread."""
        self._inbox.put(partial(self._switch, source, listen))

    def _switch(self, source: str, listen: bool) -> None:
        for voice in self._voices:
            if voice.listening.source.info.name == source and voice.paused is listen:
                state: SourceTransition = "resumed" if listen else "paused"
                self.meet(voice, SourceStateChange(state, "asked", f"{source} is {state}."))
                voice.paused = not listen

    def _line_up(self, voice: EngineSource, heard: Sequence[FeatureWindow | Gap], since_ns: int) -> None:
        for each in heard:
            self._backlog.put(PendingItem(self._context, voice, each, since_ns))

    def end(self, voice: EngineSource) -> None:
        """A source's sound is over."""
        voice.paused = False
        if voice.skipped is not None:
            self.take(voice, replace(voice.skipped, lost_samples=0), self._now_ns())
        if voice.listening.end_reason() == "end_of_stream":
            self.take(voice, None, self._now_ns())
        if voice.stream is not None:
            self._backlog.put(
                PendingItem(self._context, voice, None, self._now_ns(), voice.front_end_state.windowing.end_sample)
            )

    def next_batch(self) -> list[PendingItem]:
        """What the network is to have next."""
        return self._backlog.next_batch()

    def tell(self, batch: Sequence[PendingItem], scores: Sequence[Scores]) -> None:
        """Decide and write what a batch has to tell, with the scores of its windows.

        Raises:
            SinkError: No line can be written any more.
        """
        self._tell_of_provider()
        self._backlog.running = []
        self._progress.batch_since_ns = None
        each_score = iter(scores)
        for waiting in batch:
            for line in emit_lines(waiting, each_score):
                self._context.journal.append(line)

    def _tell_of_provider(self) -> None:
        """Say so where the batch was run by something else than the one before."""
        before, self._provider = self._provider, self._context.classifier.provider
        if self._provider != before:
            self._log.warning("something else runs the model", before=before, **log_fields(self._context.classifier))
            self._context.journal.append(self._context.provider_changed(before))

    def _weigh(self, since_ns: int) -> None:
        """Say so where the hop has to widen, or may narrow again."""
        health = self._backlog.weigh(since_ns)
        if health is not None:
            written_unix_ns = self._context.clock.written_unix_ns(time.time_ns())
            line = overload_line(health, self._context.node, written_unix_ns, self._spec.rate_hz)
            self._context.journal.append(line)

    def _capture(self, voice: EngineSource) -> None:
        """One source's thread: hands over what comes, stamped with when that was."""
        try:
            for each in batched_blocks(voice, self._spec):
                if isinstance(each, list):
                    self._hand_in(voice, each)
                else:
                    self._inbox.put(partial(self.meet, voice, each))
        except BaseException as error:  # noqa: BLE001  # a bug of ours: raised where the program can end of it
            self._inbox.put(partial(_raise, error))
        self._inbox.put(partial(self._end_one, voice))

    def _hand_in(self, voice: EngineSource, kept: list[Block]) -> None:
        since_ns = self._now_ns()
        voice.handover_slots.acquire()
        voice.handovers += 1
        self._inbox.put(partial(self._take_kept, voice, kept, since_ns))

    def _take_kept(self, voice: EngineSource, blocks: list[Block], since_ns: int) -> None:
        voice.state, voice.last_sound_ns = "heard", self._now_ns()
        if voice.clip_tap is not None and not voice.paused:
            for block in blocks:
                voice.clip_tap.add_block(voice.listening.source.info.name, block)
        for block in coalesce_blocks(
            blocks, self._spec
        ):  # here, since each thread that allocates has memory of its own
            self.take(voice, block, since_ns)
        voice.processed_handovers += 1
        if voice.waits and voice.waiting_windows >= MAX_PENDING_WINDOWS:
            voice.deferred_slots += 1
        else:
            voice.handover_slots.release()

    def _end_one(self, voice: EngineSource) -> None:
        self._going_on -= 1
        voice.state = "over"
        self.end(voice)
        if voice.listening.failure is not None:
            source = voice.listening.source.info.name
            self._log.warning("a source was lost", source=source, error=str(voice.listening.failure))
        if voice.dropped:
            self._voices.remove(voice)
            self._progress.voices.remove(voice)
            self._context.live.remove(voice.listening.source.info.name)

    def _hand_over(self, batch: list[PendingItem]) -> None:
        """Give the network a batch, or tell at once what holds no window."""
        if any(isinstance(waiting.heard, FeatureWindow) for waiting in batch):
            self._progress.batch_since_ns = self._now_ns()
            self._batches.put(batch)
        else:
            self.tell(batch, [])

    def _classify(self) -> None:
        """The network's thread."""
        while (batch := self._batches.get()) is not None:
            try:
                features = features_only([each.heard for each in batch])
                self._classified.append((batch, classify_windows(batch[0].context.classifier, features)))
                self._inbox.put(_wake)
            except BaseException as error:  # noqa: BLE001  # whatever it is, it ends the program in the main thread
                self._inbox.put(partial(_raise, error))


def _wake() -> None:
    """There is something to be seen to."""


def _raise(error: BaseException) -> None:
    raise error
