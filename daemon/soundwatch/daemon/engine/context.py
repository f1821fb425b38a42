"""One source that is listened to, and what all sources share.

Conventions: `hello` is written once the first block is there, since only then is it known when the
stream started. A source that breaks ends its open events with `source_lost` before it is reported.
Does not: choose sources or models (`app/build.py`), or listen to several at once (`engine/engine.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from soundwatch.daemon.core.source import LiveSource
from soundwatch.daemon.core.types import Block, Classifier, Clock, Event, Features, Gap, Scores, StreamSummary
from soundwatch.daemon.detection.decide import DetectionRule
from soundwatch.daemon.events.encoder import LineEncoder, provider_line
from soundwatch.daemon.events.schema import Line, LineAppender
from soundwatch.daemon.inference.classifier import log_fields
from soundwatch.daemon.status.live import LiveFeed


class ClipTap(Protocol):
    """The recorder of clips (`clips/recorder.py`), called in the engine's thread; it must not wait."""

    def add_block(self, source: str, block: Block) -> None:
        """Append a block to the buffer of its source."""

    def add_events(
        self,
        source: str,
        encoder: LineEncoder,
        events: Sequence[Event | Gap | StreamSummary],
        decided_sample: int,
        *,
        final: bool,
    ) -> None:
        """Take the result of the detection up to a sample; with `final` no more sound of its events follows."""


class WindowTap(Protocol):
    """A second consumer of windows (`shadow/runner.py`); called in the engine's thread, it must not wait."""

    def take(self, stream: LineEncoder, features: Features, scores: Scores) -> None:
        """Accept one window and the first model's scores."""

    def end(self, stream: LineEncoder, end_sample: int) -> None:
        """Finish a stream at a sample."""


@dataclass(frozen=True, slots=True)
class EngineContext:
    """What all sources of one program share.

    Attributes:
        node: Name of this machine.
        classifier: The network.
        rules: One per label.
        thresholds: In force, per class that is listened for.
        clock: Tells when a line is written.
        journal: Where lines go.
        live: Where what is heard now can be looked at.
        stats_s: After how much sound a live source's `stats` are written, again and again; None for at its end only.
        clip_tap: What clips are cut from; None where no sound is kept.
        shadow: A second network that is held against this one; None for none.
    """

    node: str
    classifier: Classifier
    rules: tuple[DetectionRule, ...]
    thresholds: dict[str, float]
    clock: Clock
    journal: LineAppender
    live: LiveFeed = field(default_factory=LiveFeed)
    stats_s: float | None = None
    clip_tap: ClipTap | None = None
    shadow: WindowTap | None = None

    def stream(self, source: LiveSource) -> LineEncoder:
        """What makes the lines of a source that has given its first block."""
        return LineEncoder(
            node=self.node,
            source=source.info,
            start_unix_ns=source.start_unix_ns,
            contract=self.classifier.contract,
            provider=self.classifier.provider,
            thresholds=self.thresholds,
            clock=self.clock,
        )

    def current(self, stream: LineEncoder) -> LineEncoder:
        """The same, by what runs the network now: a server's absence changes that."""
        provider = self.classifier.provider
        return stream if stream.provider == provider else replace(stream, provider=provider)

    def provider_changed(self, before: str) -> Line:
        """The line that tells of it."""
        detail = str(log_fields(self.classifier).get("obstacle", "the server has shown the same model"))
        written_unix_ns = self.clock.written_unix_ns(time.time_ns())
        return provider_line(self.classifier.provider, before, detail, self.node, written_unix_ns)

    def rebind(self, stream: LineEncoder) -> LineEncoder:
        """What makes the lines of a stream that another network has decided on so far."""
        contract, provider = self.classifier.contract, self.classifier.provider
        return replace(stream, contract=contract, provider=provider, thresholds=self.thresholds)
