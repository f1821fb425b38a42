"""Dependencies that all sources of one engine share.

Conventions: `hello` is written after the first block, since the start of the stream is known only then.
Does not: choose sources or models (`app/build.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.event import EndReason, Event
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.source import LiveSource
from soundwatch.daemon.core.records.stream import Gap, OverloadChange, StreamSummary
from soundwatch.daemon.core.records.window import Features, FeatureWindow
from soundwatch.daemon.core.time.clock import Clock
from soundwatch.daemon.detection.decide import DetectionRule
from soundwatch.daemon.detection.rules import SourceRules
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.events.notices import overload_line, provider_line
from soundwatch.daemon.events.schema import EventLine, Line
from soundwatch.daemon.frontend.condition import UNCHANGED, Conditioning
from soundwatch.daemon.inference.classifier import log_fields, unused_provider_reasons
from soundwatch.daemon.journal.entry import LineAppender
from soundwatch.daemon.pipeline.pipeline import FrontEndState, extract_features, flush_features
from soundwatch.daemon.status.live import LiveFeed


class ClipTap(Protocol):
    """The recorder of clips (`clips/recorder.py`), called in the engine's thread; it must not wait."""

    def configure(self, sources: Mapping[str, SourceRules]) -> None:
        """Use the settings of each source from now on."""

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

    def is_pending(self, event_id: str) -> bool:
        """Return True while the clip of an event is open or waits to be written; safe in any thread."""


class LevelTap(Protocol):
    """The sound level meters (`level/tap.py`), called in the engine's thread; they must not wait."""

    def add_block(self, source: str, encoder: LineEncoder, block: Block | None) -> None:
        """Measure the next block of a source; None for the end of its stream."""

    def take_events(
        self, source: str, until_sample: int, reason: EndReason | None, tags: Sequence[tuple[str, float]]
    ) -> list[Event]:
        """Return the events of the level that were decided up to a sample; with a reason, also the ends of all."""

    def with_levels(self, source: str, event: Event, line: EventLine) -> EventLine:
        """Return the line of an event with its levels."""


class WindowTap(Protocol):
    """A second consumer of windows (`shadow/runner.py`); called in the engine's thread, it must not wait."""

    def submit(self, stream: LineEncoder, features: Features, scores: Scores) -> None:
        """Accept one window and the first model's scores."""

    def end_stream(self, stream: LineEncoder, end_sample: int) -> None:
        """Finish a stream at a sample."""


@dataclass(frozen=True, slots=True)
class EngineContext:
    """Dependencies shared by all sources of one engine.

    Attributes:
        node: Name of this machine.
        classifier: The model.
        rules: One per label, for a source without rules of its own.
        thresholds: Thresholds in force by enabled class, for a source without rules of its own.
        clock: Source of the times at which lines are written.
        journal: Receives the lines.
        live: Receives window results.
        stats_s: Sound between two `stats` lines of a live source; None for one at its end only.
        clip_tap: Receives sound for clips; None if no sound is kept.
        level_tap: Receives sound for the sound level meter; None if it is off.
        shadow: A second model that is compared with this one; None for none.
        sources: Rules of each configured source.
        level_thresholds: Score at which each class of the sound level meter starts.
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
    level_tap: LevelTap | None = None
    shadow: WindowTap | None = None
    sources: Mapping[str, SourceRules] = field(default_factory=dict)
    level_thresholds: dict[str, float] = field(default_factory=dict)

    def rules_for(self, source: str) -> tuple[DetectionRule, ...]:
        """Return the rules of a source, one per label."""
        own = self.sources.get(source)
        return self.rules if own is None else own.rules

    def thresholds_for(self, source: str) -> dict[str, float]:
        """Return the thresholds of a source by enabled class."""
        own = self.sources.get(source)
        return (self.thresholds if own is None else own.thresholds) | self.level_thresholds

    def conditioning_for(self, source: str) -> Conditioning:
        """Return gain and high-pass of a source."""
        own = self.sources.get(source)
        return UNCHANGED if own is None else Conditioning(own.settings.gain_db.value, own.settings.high_pass_hz.value)

    def extract(
        self, source: str, state: FrontEndState, block: Block | None, every: int
    ) -> tuple[FrontEndState, list[FeatureWindow | Gap]]:
        """Process a block of a source through the front end; the arguments are those of `extract_features`."""
        spec = self.classifier.contract.features
        return extract_features(state, block, spec, every, self.conditioning_for(source))

    def flush(self, source: str, state: FrontEndState, every: int) -> tuple[FrontEndState, list[FeatureWindow | Gap]]:
        """Flush the front end of a source; the arguments are those of `flush_features`."""
        return flush_features(state, self.classifier.contract.features, every, self.conditioning_for(source))

    def encoder(self, source: LiveSource) -> LineEncoder:
        """Return the line encoder of a source that has given its first block."""
        return LineEncoder(
            node=self.node,
            source=source.info,
            start_unix_ns=source.start_unix_ns,
            contract=self.classifier.contract,
            provider=self.classifier.provider,
            thresholds=self.thresholds_for(source.info.name),
            clock=self.clock,
            unused_providers=unused_provider_reasons(self.classifier),
        )

    def line(self, encoder: LineEncoder, result: Event | Gap | StreamSummary) -> Line:
        """Return the line of a result of the detection; an event has its levels where they are measured."""
        line = encoder.line(result)
        if self.level_tap is not None and isinstance(result, Event) and isinstance(line, EventLine):
            return self.level_tap.with_levels(encoder.source.name, result, line)
        return line

    def provider_changed(self, before: str) -> Line:
        """Return the health line of a change of the provider."""
        detail = str(log_fields(self.classifier).get("obstacle", "the server has shown the same model"))
        written_unix_ns = self.clock.written_unix_ns(time.time_ns())
        return provider_line(self.classifier.provider, before, detail, self.node, written_unix_ns)

    def overload_changed(self, change: OverloadChange) -> Line:
        """Return the health line of a change of overload."""
        written_unix_ns = self.clock.written_unix_ns(time.time_ns())
        return overload_line(change, self.node, written_unix_ns, self.classifier.contract.features.rate_hz)

    def rebind(self, encoder: LineEncoder) -> LineEncoder:
        """Return the encoder of a stream that continues with this context's model."""
        contract, provider = self.classifier.contract, self.classifier.provider
        unused_providers = unused_provider_reasons(self.classifier)
        return replace(
            encoder,
            contract=contract,
            provider=provider,
            thresholds=self.thresholds_for(encoder.source.name),
            unused_providers=unused_providers,
        )
