"""Make the lines of a stream: of its events, gaps and summaries.

Conventions: as in `events/schema.py`. Times come from the sample clock: UTC of sample 0, and later corrections. A new
line has no number yet.
Rule for times: an anchor gives UTC of sample 0 and holds from one sample on. Earlier samples keep their times, so the
onset of an event is equal in its start and in its end. Times never decrease. After an anchor that is earlier than the
one before, time advances at half speed until it agrees with the anchor. Beyond `MAX_AHEAD_NS` the engine begins a
stream.
Does not: make lines on the wall clock (`events/notices.py`), or number or write lines (`journal/journal.py`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from soundwatch.daemon import __version__
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.records.event import Event
from soundwatch.daemon.core.records.scores import Scores, WindowResult
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.records.stream import Gap, StreamSummary
from soundwatch.daemon.core.records.window import FeatureWindow
from soundwatch.daemon.core.time.clock import SECOND_NS, Clock, format_utc
from soundwatch.daemon.events.schema import UNNUMBERED, EventLine, GapLine, HelloLine, Line, StatsLine

KEPT_ANCHORS: Final = 256  # drift adds one in ten seconds at most: more than the default longest event needs
MAX_AHEAD_NS: Final = 300 * SECOND_NS
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Anchor:
    """UTC offset of a stream from one sample on.

    Attributes:
        from_sample: The first sample of its range.
        from_unix_ns: UTC of that sample by the anchor before; no later sample is earlier.
        start_unix_ns: UTC of sample 0.
    """

    from_sample: int
    from_unix_ns: int
    start_unix_ns: int


@dataclass(frozen=True, slots=True)
class LineEncoder:
    """Encoder of the lines of one source.

    Attributes:
        node: Name of this machine.
        source: Properties of the source.
        start_unix_ns: UTC of sample 0.
        contract: Contract of the model.
        provider: Execution provider of the model.
        thresholds: Threshold of each active class.
        clock: Gives the time at which a line is written.
        anchors: Corrections of the times, oldest first.
        file: Path that event lines name; None for none.
        unused_providers: Reason against each accelerator that does not run the model.
    """

    node: str
    source: SourceInfo
    start_unix_ns: int
    contract: ModelContract
    provider: str
    thresholds: dict[str, float]
    clock: Clock
    anchors: tuple[Anchor, ...] = ()
    file: str | None = None
    unused_providers: Mapping[str, str] = field(default_factory=dict)

    def at_unix_ns(self, sample: int) -> int:
        """Return UTC of a sample at the rate of the model."""
        return sample_unix_ns(sample, self.contract.features.rate_hz, self.start_unix_ns, self.anchors)

    def with_anchor(self, from_sample: int, start_unix_ns: int) -> LineEncoder:
        """Return an encoder with another UTC of sample 0, which holds from a sample on."""
        rate_hz = self.contract.features.rate_hz
        return replace(self, anchors=add_anchor(self.anchors, from_sample, rate_hz, self.start_unix_ns, start_unix_ns))

    def with_provider(self, provider: str) -> LineEncoder:
        """Return an encoder that names the provider that runs the model now: an absent server changes it."""
        return self if self.provider == provider else replace(self, provider=provider)

    def restarted(self, start_unix_ns: int) -> LineEncoder:
        """Return the encoder of a new stream with another UTC of sample 0."""
        return replace(self, start_unix_ns=start_unix_ns, anchors=())

    def ahead_ns(self, sample: int, start_unix_ns: int) -> int:
        """Return how far the time of a sample is ahead of a clock that gives another UTC of sample 0."""
        return self.at_unix_ns(sample) - sample_unix_ns(sample, self.contract.features.rate_hz, start_unix_ns, ())

    def format_time(self, sample: int) -> str:
        """Format UTC of a sample."""
        return format_utc(self.at_unix_ns(sample))

    def seconds(self, samples: int) -> float:
        """Convert a number of samples to seconds, rounded to milliseconds."""
        return round(samples / self.contract.features.rate_hz, 3)

    def window_result(
        self,
        window: FeatureWindow,
        scores: Scores,
        windows: int,
        lost_samples: int,
        delay_ns: int = 0,
        *,
        features: bool = False,
    ) -> WindowResult:
        """Return one window's scores for the live feed.

        Args:
            window: The window.
            scores: Scores of the window.
            windows: Number of windows so far, this one included.
            lost_samples: Number of samples lost so far.
            delay_ns: Time since the arrival of the window's last sample.
            features: Keep the features in the result.
        """
        return WindowResult(
            source=self.source.name,
            end_unix_ns=self.at_unix_ns(scores.end_sample),
            labels=scores.labels,
            values=scores.values,
            level_dbfs=window.level_dbfs,
            delay_ns=delay_ns,
            windows=windows,
            processed_s=self.seconds(scores.end_sample - lost_samples),
            lost_s=self.seconds(lost_samples),
            features=window.features if features else None,
            tags=scores.tags,
            tag_values=scores.tag_values,
        )

    def hello(self) -> HelloLine:
        """Return the first line of a stream."""
        spec = self.contract.features
        return HelloLine(
            seq=UNNUMBERED,
            time=self.format_time(0),
            node=self.node,
            source=self.source.name,
            stream_start=self.format_time(0),
            version=__version__,
            model=self.contract.identity,
            provider=self.provider,
            classes=tuple(dict.fromkeys((*self.contract.labels, *self.thresholds))),
            thresholds=self.thresholds,
            description=self.source.description,
            source_rate_hz=self.source.rate_hz,
            source_channels=self.source.channels,
            window_s=self.seconds(spec.window_samples),
            hop_s=self.seconds(spec.window_hop_samples),
            unused_providers=dict(self.unused_providers) or msgspec.UNSET,
        )

    def line(self, result: Event | Gap | StreamSummary) -> Line:
        """Return the line of a result of the detection."""
        match result:
            case Event():
                return self._event(result)
            case Gap():
                return GapLine(
                    seq=UNNUMBERED,
                    time=self.format_time(result.first_sample + result.lost_samples),
                    node=self.node,
                    source=self.source.name,
                    start=self.format_time(result.first_sample),
                    duration_s=self.seconds(result.lost_samples),
                    reason=result.reason,
                )
            case StreamSummary():
                return StatsLine(
                    seq=UNNUMBERED,
                    time=self.format_time(result.end_sample),
                    node=self.node,
                    source=self.source.name,
                    windows=result.windows,
                    duration_s=self.seconds(result.end_sample),
                    lost_s=self.seconds(result.lost_samples),
                    coverage=None if result.coverage is None else round(result.coverage, 6),
                    final=result.final,
                )

    def _event(self, event: Event) -> EventLine:
        written_unix_ns = self.clock.written_unix_ns(self.at_unix_ns(event.decision_sample))
        start_unix_ns = self.anchors[-1].start_unix_ns if self.anchors else self.start_unix_ns
        onset_unix_ns = sample_unix_ns(event.onset_sample, self.contract.features.rate_hz, start_unix_ns, ())
        ended, continued = event.offset_sample, event.continues_sample
        return EventLine(
            type=event.type,
            seq=UNNUMBERED,
            id=self.event_id(event),
            time=self.format_time(event.decision_sample),
            node=self.node,
            source=self.source.name,
            class_=event.label,
            class_id=event.class_id,
            score=round_down(event.score),
            peak_score=round_down(event.peak_score),
            level_dbfs=None if event.level_dbfs is None else round(event.level_dbfs, 1),
            onset=self.format_time(event.onset_sample),
            offset=None if ended is None else self.format_time(ended),
            duration_s=None if ended is None else self.seconds(ended - event.onset_sample),
            reason=event.reason,
            latency_ms=max(0, (written_unix_ns - onset_unix_ns) // 1_000_000),
            model=self.contract.identity,
            provider=self.provider,
            file=msgspec.UNSET if self.file is None else self.file,
            continues=msgspec.UNSET if continued is None else self._id(event.label, continued),
            also={tag: round_down(score) for tag, score in event.also} if event.also else msgspec.UNSET,
            experimental=True if event.label in self.contract.tags else msgspec.UNSET,
        )

    def event_id(self, event: Event) -> str:
        """Return the id of an event: a ULID of its properties, so every replay of a recording gives the same id."""
        return self._id(event.label, event.onset_sample)

    def _id(self, label: str, onset_sample: int) -> str:
        key = f"{self.node}\n{self.source.name}\n{self.start_unix_ns}\n{label}\n{onset_sample}"
        return ulid(self.at_unix_ns(onset_sample) // 1_000_000, hashlib.sha256(key.encode()).digest()[:10])


def sample_unix_ns(sample: int, rate_hz: int, start_unix_ns: int, anchors: Sequence[Anchor]) -> int:
    """Return UTC of a sample of a stream that began at `start_unix_ns`, with its anchors, oldest first."""
    for anchor in reversed(anchors):
        if sample >= anchor.from_sample:
            slowed_ns = anchor.from_unix_ns + (sample - anchor.from_sample) * SECOND_NS // (2 * rate_hz)
            return max(anchor.start_unix_ns + sample * SECOND_NS // rate_hz, slowed_ns)
    return start_unix_ns + sample * SECOND_NS // rate_hz


def add_anchor(
    anchors: tuple[Anchor, ...], from_sample: int, rate_hz: int, start_unix_ns: int, now_start_unix_ns: int
) -> tuple[Anchor, ...]:
    """Return the anchors and a new one, which gives UTC `now_start_unix_ns` to sample 0 from `from_sample` on."""
    from_unix_ns = sample_unix_ns(from_sample, rate_hz, start_unix_ns, anchors)
    return (*anchors[1 - KEPT_ANCHORS :], Anchor(from_sample, from_unix_ns, now_start_unix_ns))


def ulid(unix_ms: int, suffix: bytes) -> str:
    """Return a ULID (github.com/ulid/spec) of a time and ten bytes: 128 bits as 26 characters of five bits.

    A ULID has no time before 1970; recordings of such years have 1970.
    """
    number = max(0, unix_ms) << 80 | int.from_bytes(suffix, "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def round_down(value: float) -> float:
    """Round down to four digits: a printed score is never higher than the score of the decision."""
    return math.floor(value * 10_000) / 10_000
