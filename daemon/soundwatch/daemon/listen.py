"""One source's sound through the pipeline into the journal.

Conventions: `hello` is written once the first block is there, since only then is it known when the
stream started. A source that breaks ends its open events with `source_lost` before it is reported.
Does not: choose sources or models (`app.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain

from soundwatch.daemon.decide import Rule
from soundwatch.daemon.errors import SourceError
from soundwatch.daemon.journal import Journal
from soundwatch.daemon.pipeline import detect
from soundwatch.daemon.types import Block, Classifier, Clock, EndReason, Source
from soundwatch.daemon.wire import Stream


@dataclass(frozen=True, slots=True)
class Ears:
    """What all sources of one program share.

    Attributes:
        node: Name of this machine.
        classifier: The network.
        rules: One per label.
        thresholds: In force, per class that is listened for.
        clock: Tells when a line is written.
        journal: Where lines go.
    """

    node: str
    classifier: Classifier
    rules: tuple[Rule, ...]
    thresholds: dict[str, float]
    clock: Clock
    journal: Journal


@dataclass(slots=True)
class Listening:
    """One source that is listened to until it ends, breaks or is stopped."""

    source: Source
    ears: Ears
    stopping: bool = False
    failure: SourceError | None = None

    def run(self) -> None:
        """Listen.

        Raises:
            SourceError: The source broke; its events have been ended.
            SinkError: No line can be written any more.
        """
        sound = self._sound()
        first = next(sound, None)
        if first is not None:
            stream = self._stream()
            self.ears.journal.append(stream.hello)
            for told in detect(chain([first], sound), self.ears.classifier, self.ears.rules, self._why_ended):
                self.ears.journal.append(partial(stream.line, told))
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Make `run` end its events and return. Safe in a signal handler: it takes no lock."""
        self.stopping = True
        self.source.stop()

    def _sound(self) -> Iterator[Block | None]:
        """The source's blocks, and None if it was heard to its end."""
        try:
            yield from self.source.blocks()
        except SourceError as error:
            self.failure = error
        if self._why_ended() == "end_of_stream":
            yield None

    def _why_ended(self) -> EndReason:
        if self.failure is not None:
            return "source_lost"
        return "shutdown" if self.stopping else "end_of_stream"

    def _stream(self) -> Stream:
        ears = self.ears
        return Stream(
            node=ears.node,
            source=self.source.info,
            start_unix_ns=self.source.start_unix_ns,
            contract=ears.classifier.contract,
            provider=ears.classifier.provider,
            thresholds=ears.thresholds,
            clock=ears.clock,
        )
