"""One source while it runs: its blocks, its encoder and the reason it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain

from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.source import LiveSource
from soundwatch.daemon.core.types import Block, EndReason, FeatureWindow, Scores, WindowResult
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.pipeline.pipeline import OFFLINE_BATCH_WINDOWS, DetectionState, run_pipeline


@dataclass(slots=True)
class SourceSession:
    """One source that is listened to until it ends, breaks or is stopped.

    Attributes:
        source: The source.
        stopping: Whether it was asked to end.
        failure: Why it broke.
    """

    source: LiveSource
    stopping: bool = False
    failure: SourceError | None = None

    def read_through(self, context: EngineContext) -> None:
        """Hear a recording by itself, here and now, as fast as it goes.

        Raises:
            SourceError: The source broke; its events have been ended.
            SinkError: No line can be written any more.
        """
        sound = self._sound()
        first = next(sound, None)
        if first is not None:
            stream = context.stream(self.source)
            context.journal.append(stream.hello())
            blocks = chain([first], sound)
            told_of = run_pipeline(
                blocks,
                context.classifier,
                context.rules,
                self.end_reason,
                OFFLINE_BATCH_WINDOWS,
                partial(self._publish, context, stream),
            )
            for told in told_of:
                context.journal.append(context.current(stream).line(told))
        if self.failure is not None:
            raise self.failure

    def _publish(
        self, context: EngineContext, stream: LineEncoder, window: FeatureWindow, scores: Scores, before: DetectionState
    ) -> None:
        """Show a window of a recording to those who look at the live feed."""
        context.live.publish(
            WindowResult(
                source=self.source.info.name,
                end_unix_ns=stream.at_unix_ns(scores.end_sample),
                labels=scores.labels,
                values=scores.values,
                level_dbfs=window.level_dbfs,
                delay_ns=0,
                windows=before.windows + 1,
                heard_s=stream.seconds(scores.end_sample - before.lost_samples),
                lost_s=stream.seconds(before.lost_samples),
            )
        )

    def stop(self) -> None:
        """Make the source end. Safe in a signal handler: it takes no lock."""
        self.stopping = True
        self.source.stop()

    def end_reason(self) -> EndReason:
        """What ended, or would now end, the source's events."""
        if self.failure is not None:
            return "source_lost"
        return "shutdown" if self.stopping else "end_of_stream"

    def _sound(self) -> Iterator[Block | None]:
        """The source's blocks, and None if it was heard to its end."""
        try:
            yield from (each for each in self.source.blocks() if isinstance(each, Block))
        except SourceError as error:
            self.failure = error
        if self.end_reason() == "end_of_stream":
            yield None
