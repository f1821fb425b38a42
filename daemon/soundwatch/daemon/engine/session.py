"""One source while it runs: its blocks, its encoder and the reason it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.event import EndReason, Event
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.source import LiveSource
from soundwatch.daemon.core.records.stream import StreamSummary
from soundwatch.daemon.core.records.window import FeatureWindow
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.pipeline.pipeline import OFFLINE_BATCH_WINDOWS, DetectionState, run_pipeline


@dataclass(slots=True)
class SourceSession:
    """One source until it ends, fails or is stopped.

    Attributes:
        source: The source.
        stopping: True once it was asked to end.
        failure: Reason of its failure.
    """

    source: LiveSource
    stopping: bool = False
    failure: SourceError | None = None

    def replay(self, context: EngineContext) -> None:
        """Run a recording through the pipeline in the calling thread, faster than real time.

        Raises:
            SourceError: The source failed; its events have been ended.
            SinkError: No line can be written any more.
        """
        blocks = self._blocks()
        first = next(blocks, None)
        if first is not None:
            encoder = context.encoder(self.source)

            def publish(window: FeatureWindow, scores: Scores, before: DetectionState) -> None:
                result = encoder.window_result(window, scores, before.windows + 1, before.lost_samples)
                context.live.publish(result)
                level_events.extend(self._level_events(context, scores.end_sample, None))

            level_events = list[Event]()
            on_window = publish if context.live.wanted or context.level_tap is not None else None
            context.journal.append(encoder.hello())
            results = run_pipeline(
                self._measured(chain([first], blocks), encoder, context),
                context.classifier,
                context.rules_for(self.source.info.name),
                self.end_reason,
                OFFLINE_BATCH_WINDOWS,
                on_window,
                context.conditioning_for(self.source.info.name),
            )
            for result in results:
                if isinstance(result, StreamSummary):
                    if context.level_tap is not None:
                        context.level_tap.add_block(self.source.info.name, encoder, None)
                    level_events += self._level_events(context, result.end_sample, self.end_reason())
                for found in (*level_events, result):
                    context.journal.append(context.line(encoder.with_provider(context.classifier.provider), found))
                level_events.clear()
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """End the source soon. Safe in a signal handler: it takes no lock."""
        self.stopping = True
        self.source.stop()

    def end_reason(self) -> EndReason:
        """Return the reason that ends the source's events."""
        if self.failure is not None:
            return "source_lost"
        return "shutdown" if self.stopping else "end_of_stream"

    def _measured(
        self, blocks: Iterator[Block | None], encoder: LineEncoder, context: EngineContext
    ) -> Iterator[Block | None]:
        """Yield blocks, after the sound level meter has measured them."""
        for block in blocks:
            if context.level_tap is not None and block is not None:
                context.level_tap.add_block(self.source.info.name, encoder, block)
            yield block

    def _level_events(self, context: EngineContext, until_sample: int, reason: EndReason | None) -> list[Event]:
        """Return the events of the sound level up to a sample, with the tags of the latest window."""
        name = self.source.info.name
        if context.level_tap is None:
            return []
        return context.level_tap.take_events(name, until_sample, reason, context.live.latest_tags(name))

    def _blocks(self) -> Iterator[Block | None]:
        """Yield the source's blocks, and None if its sound ended by itself."""
        try:
            yield from (block for block in self.source.blocks() if isinstance(block, Block))
        except SourceError as error:
            self.failure = error
        if self.end_reason() == "end_of_stream":
            yield None
