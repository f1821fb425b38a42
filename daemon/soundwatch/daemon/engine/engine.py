"""The engine: all sources through one model.

Conventions: each source is captured in its own thread, and the model runs in one more. The caller's thread takes
every block through the pipeline and writes every line; other threads put functions into its inbox. A capture thread
keeps its blocks until a window can be full, so the handover and the resampler are paid for once a window. Windows that
become ready during inference are classified together afterwards, so none waits longer than one batch, and the window
of a single source does not wait at all. Times are nanoseconds of a monotonic clock.
Does not: open sources or models (`app/build.py`), or handle a machine that is too slow (`inference_queue.py`).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.source import SourceNotice, SourceStateChange, SourceTransition
from soundwatch.daemon.core.records.stream import Gap
from soundwatch.daemon.core.records.window import FeatureWindow
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.emitter import emit_lines
from soundwatch.daemon.engine.inbox import Inbox
from soundwatch.daemon.engine.inference_queue import MAX_PENDING_WINDOWS, InferenceQueue
from soundwatch.daemon.engine.liveness import EngineProgress, TickHandler
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.engine.source_state import (
    MAX_HANDOVERS,
    EngineSource,
    ModelSwap,
    PendingItem,
    add_paused_gap,
    engine_source,
    log_notice,
    mark_paused,
    take_notice,
    take_paused_gap,
)
from soundwatch.daemon.engine.threads import InferenceThread, batched_blocks
from soundwatch.daemon.frontend.resample import coalesce_blocks
from soundwatch.daemon.inference.classifier import log_fields

# Longest wait of the main thread: more than a hop of the shipped models, so that only windows wake it; outside Linux
# a wait may hold back signals.
WAKE_S: Final = 1.25 if sys.platform == "linux" else 0.5
CLOSING_S: Final = 5.0


class Engine:
    """All sources of one daemon.

    Args:
        context: Dependencies that the sources share.
        log: The log.
        now_ns: A monotonic clock.
        on_tick: Called on each turn of the loop with the engine's progress and the time.
    """

    def __init__(
        self,
        context: EngineContext,
        log: Logger,
        now_ns: Callable[[], int] = time.monotonic_ns,
        on_tick: TickHandler = lambda *_: None,
    ) -> None:
        self._context = context
        self._log = log
        self._provider = context.classifier.provider
        self._spec = context.classifier.contract.features
        self._now_ns = now_ns
        self._on_tick = on_tick
        self._progress = EngineProgress(now_ns())
        self._pending = InferenceQueue(self._spec, now_ns)
        self._inbox = Inbox()
        self._inference = InferenceThread(self._inbox.notify)
        self._sources = list[EngineSource]()
        self._threads = list[threading.Thread]()
        self._active_captures = 0

    def add_source(self, session: SourceSession) -> EngineSource:
        """Register a source before its first block."""
        source = engine_source(session, self._context)
        self._progress.sources.append(source)
        return source

    def run(self, sessions: Sequence[SourceSession]) -> None:
        """Listen until all sources have ended; one that failed keeps its `failure`.

        Raises:
            SinkError: No line can be written any more.
            ModelError: Inference failed.
        """
        self._inference.start()
        for session in sessions:
            self._start_capture(session)
        try:
            while self._pending.running or self._pending or self._active_captures:
                self._inbox.run_next(WAKE_S)
                while self._inference.completed:  # before more blocks, so that the model never waits for them
                    self.emit(*self._inference.completed.popleft())
                while self._pending and not self._pending.running:
                    self._submit(self.next_batch())
                self._on_tick(self._progress, self._now_ns())
        finally:
            for source in self._sources:
                source.session.stop()
                source.handover_slots.release(MAX_HANDOVERS)
            self._inference.close(CLOSING_S)
            for thread in self._threads:
                thread.join(CLOSING_S)

    def add(self, session: SourceSession) -> None:
        """Start one more source. Safe to call from every thread."""
        self._inbox.put(partial(self._start_capture, session))

    def remove(self, session: SourceSession) -> None:
        """Stop a source; its events end as at a shutdown. Safe to call from every thread."""
        self._inbox.put(partial(self._remove, session))

    def swap_model(self, context: EngineContext) -> None:
        """Use other rules or another model from the next window on. Safe to call from every thread.

        The front end has to be the same, so that no window is lost.
        """
        self._inbox.put(partial(self._swap_model, context))

    def set_listening(self, source: str, *, listen: bool, why: str | None = None) -> None:
        """Pause a source, so that its sound is discarded, or resume it. Safe to call from every thread."""
        self._inbox.put(partial(self._set_listening, source, listen=listen, why=why))

    def enqueue_block(self, source: EngineSource, block: Block | None, since_ns: int) -> None:
        """Enqueue the windows of a block, which arrived at `since_ns`; None if the source's sound ended by itself."""
        if source.encoder is None:
            if block is None:
                return
            source.encoder = self._context.encoder(source.session.source)
            hello = source.encoder.hello()
            self._context.journal.append(hello)
            self._log.info(
                "listening", source=source.name, device=hello.description, source_rate_hz=hello.source_rate_hz
            )
        if source.paused and block is not None:
            source.paused_gap = add_paused_gap(source.paused_gap, block)
            return
        resumed = source.paused_gap is not None
        block, every = take_paused_gap(source, block), self._pending.stride_windows
        source.front_end_state, contents = self._context.extract(source.name, source.front_end_state, block, every)
        self._enqueue(source, mark_paused(contents) if resumed else contents, since_ns)
        if not source.has_backpressure:
            self._adapt_stride(since_ns)

    def enqueue_notice(self, source: EngineSource, delivered: SourceNotice) -> None:
        """Enqueue a change of a source's state, audio quality or clock, and log it."""
        notice, now_ns = take_notice(source, delivered), self._now_ns()
        if notice is None:
            return
        if isinstance(notice, SourceStateChange) and notice.state in ("lost", "paused"):
            every = self._pending.stride_windows
            source.front_end_state, contents = self._context.flush(source.name, source.front_end_state, every)
            self._enqueue(source, contents, now_ns)
        self._pending.put(PendingItem(self._context, source, notice, now_ns, source.end_sample))
        log_notice(self._log, source.name, notice)

    def finish_source(self, source: EngineSource) -> None:
        """Enqueue the end of a source's sound."""
        source.paused = False
        if source.paused_gap is not None:
            self.enqueue_block(source, replace(source.paused_gap, lost_samples=0), self._now_ns())
        if source.session.end_reason() == "end_of_stream":
            self.enqueue_block(source, None, self._now_ns())
        if source.encoder is not None:
            self._pending.put(PendingItem(self._context, source, None, self._now_ns(), source.end_sample))

    def next_batch(self) -> list[PendingItem]:
        """Remove and return the next batch for the model."""
        return self._pending.next_batch()

    def emit(self, batch: Sequence[PendingItem], scores: Sequence[Scores]) -> None:
        """Detect events in a batch, with the scores of its windows, and append their lines.

        Raises:
            SinkError: No line can be written any more.
        """
        self._report_provider()
        self._pending.running = []
        self._progress.batch_since_ns = None
        remaining = iter(scores)
        for item in batch:
            for line in emit_lines(item, remaining):
                self._context.journal.append(line)

    def _start_capture(self, session: SourceSession) -> None:
        source = self.add_source(session)
        thread = threading.Thread(target=self._capture, args=(source,), daemon=True)
        self._sources.append(source)
        self._threads.append(thread)
        self._active_captures += 1
        thread.start()

    def _remove(self, session: SourceSession) -> None:
        session.stop()
        for source in self._sources:
            source.removed = source.removed or source.session is session

    def _swap_model(self, context: EngineContext) -> None:
        before, self._context, self._provider = self._context, context, context.classifier.provider
        if context.clip_tap is not None:
            context.clip_tap.configure(context.sources)
        for source in self._sources:
            if context.classifier is before.classifier:
                source.encoder = source.encoder and context.rebind(source.encoder)
            elif source.encoder is not None and source.state != "ended":
                self._pending.put(PendingItem(before, source, ModelSwap(context), self._now_ns(), source.end_sample))

    def _set_listening(self, name: str, *, listen: bool, why: str | None) -> None:
        for source in self._sources:
            if source.name == name and source.paused is listen:
                state: SourceTransition = "resumed" if listen else "paused"
                self.enqueue_notice(source, SourceStateChange(state, "asked", why or f"{name} is {state}."))
                source.paused = not listen

    def _enqueue(self, source: EngineSource, contents: Sequence[FeatureWindow | Gap], since_ns: int) -> None:
        for content in contents:
            self._pending.put(PendingItem(self._context, source, content, since_ns))

    def _submit(self, batch: list[PendingItem]) -> None:
        """Hand a batch to the model, or emit it at once if it has no window."""
        if any(isinstance(item.content, FeatureWindow) for item in batch):
            self._progress.batch_since_ns = self._now_ns()
            self._inference.submit(batch)
        else:
            self.emit(batch, [])

    def _report_provider(self) -> None:
        """Report a change of the provider that ran the batch."""
        before, self._provider = self._provider, self._context.classifier.provider
        if self._provider != before:
            self._log.warning("provider_changed", before=before, **log_fields(self._context.classifier))
            self._context.journal.append(self._context.provider_changed(before))

    def _adapt_stride(self, since_ns: int) -> None:
        """Widen or narrow the hop where necessary, and report it."""
        change = self._pending.adapt(since_ns)
        if change is not None:
            self._context.journal.append(self._context.overload_changed(change))

    def _capture(self, source: EngineSource) -> None:
        """Run one source's thread: hand over its blocks, stamped with their arrival."""
        end = partial(self._end_capture, source)
        try:
            for delivery in batched_blocks(source, self._spec):
                if isinstance(delivery, list):
                    self._hand_over(source, delivery)
                else:
                    self._inbox.put(partial(self.enqueue_notice, source, delivery))
        except BaseException as error:  # noqa: BLE001  # no memory, or a bug of ours: raised where it can end the program
            self._inbox.notify(error)
        self._inbox.put(end)

    def _hand_over(self, source: EngineSource, blocks: list[Block]) -> None:
        since_ns = self._now_ns()
        source.handover_slots.acquire()
        source.handovers += 1
        self._inbox.put(partial(self._take_over, source, blocks, since_ns))

    def _take_over(self, source: EngineSource, blocks: list[Block], since_ns: int) -> None:
        source.state, source.last_sound_ns = "heard", self._now_ns()
        if source.clip_tap is not None and not source.paused:
            for block in blocks:
                source.clip_tap.add_block(source.name, block)
        # coalesced in this thread, since every thread that allocates has its own memory
        for block in coalesce_blocks(blocks):
            if not source.paused:
                self._context.live.publish_sound(source.name, block)
            self.enqueue_block(source, block, since_ns)
            if source.level_tap is not None and source.encoder is not None and not source.paused:
                source.level_tap.add_block(source.name, source.encoder, block)
        source.processed_handovers += 1
        if source.has_backpressure and source.waiting_windows >= MAX_PENDING_WINDOWS:
            source.deferred_slots += 1
        else:
            source.handover_slots.release()

    def _end_capture(self, source: EngineSource) -> None:
        self._active_captures -= 1
        source.state = "ended"
        self.finish_source(source)
        if source.session.failure is not None:
            self._log.warning("source_failed", source=source.name, error=str(source.session.failure))
        if source.removed:
            self._sources.remove(source)
            self._progress.sources.remove(source)
            self._context.live.remove(source.name)
