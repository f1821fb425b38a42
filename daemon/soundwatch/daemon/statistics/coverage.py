"""The time in which each source was scored, from the lines of the journal.

Conventions: milliseconds since 1970 in UTC. A stream was scored from its start to its last line, except in its gaps. A
`stats` line gives the start of its stream, also where the journal has removed the `hello` line. Between the last line
and the present, the time of a stream without an end is not reported yet, at most `stats_s` and a minute; it counts
neither as scored nor as missed. The time of a paused or absent source is missed, not unreported. Times are those of
lines, so a clock that was set shows as written; the time that a clock skipped when it was set forward was not scored.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from soundwatch.daemon.core.time.clock import parse_utc
from soundwatch.daemon.journal.queries.statistics import SourceLine

GRACE_MS: Final = 60_000

Span = tuple[int, int]


class _Part(msgspec.Struct):
    """Keys of `hello`, `stats`, `gap` and `health` lines that coverage needs."""

    stream_start: str | None = None
    start: str | None = None
    duration_s: float | None = None
    final: bool = False
    state: str | None = None
    reason: str | None = None
    shift_ms: int = 0


@dataclass(slots=True)
class _Stream:
    """Stream of a source, or its part since the clock was set forward, while its lines are read.

    Attributes:
        begin_ms: First time.
        last_ms: Time of the latest line.
        ended: True after the line of its end.
        before: The part before the clock was set; None for the first part.
        skipped_ms: Time that the clock skipped between both parts.
    """

    begin_ms: int
    last_ms: int
    ended: bool = False
    before: _Stream | None = None
    skipped_ms: int = 0

    def extend_to(self, begin_ms: int) -> None:
        """Let the stream begin at a time by the present clock, if that is earlier than its known begin."""
        first = self
        while first.before is not None:
            first, begin_ms = first.before, begin_ms - first.skipped_ms
        first.begin_ms = min(first.begin_ms, begin_ms)


@dataclass(slots=True)
class _Source:
    """Lines of a source, while they are read.

    Attributes:
        streams: Streams in the order of their lines.
        gaps: Gaps in the order of their lines.
        absent: True from a loss of the source until it is back.
        paused: True from a pause until the source is resumed, or its process ends.
        sounded: True if the process that wrote the latest line has had sound of the source.
        reanchored: True if the latest line is a correction of the clock, which a new stream may follow.
    """

    streams: list[_Stream] = field(default_factory=list)
    gaps: list[Span] = field(default_factory=list)
    absent: bool = False
    paused: bool = False
    sounded: bool = False
    reanchored: bool = False


@dataclass(frozen=True, slots=True)
class ScoredTime:
    """Scored time of a source.

    Attributes:
        scored: Spans that were scored, in order, without overlap.
        unreported: Spans of which no line reports yet.
    """

    scored: tuple[Span, ...]
    unreported: tuple[Span, ...]


def unix_ms(text: str) -> int:
    """Return the milliseconds since 1970 of a time in a line."""
    return parse_utc(text) // 1_000_000


def scored_times(lines: Iterable[SourceLine], now_ms: int, stats_s: float | None) -> dict[str, ScoredTime]:
    """Return the scored time of each source.

    Args:
        lines: Lines of all sources in the order of their numbers, from the begin of the time of interest on, and up to
            `stats_s` seconds past its end.
        now_ms: The present.
        stats_s: Sound between two `stats` lines; None if only the end of a stream writes one.
    """
    sources: dict[str, _Source] = {}
    for line in lines:
        _take(sources.setdefault(line.source, _Source()), line)
    return {name: _scored_time(source, now_ms, stats_s) for name, source in sources.items()}


def overlap_ms(spans: Sequence[Span], bounds_ms: Sequence[int]) -> list[int]:
    """Return how much of each interval between neighboring bounds lies in the spans."""
    found = [0] * (len(bounds_ms) - 1)
    for begin, end in spans:
        index = max(0, bisect_right(bounds_ms, begin) - 1)
        while index < len(found) and bounds_ms[index] < end:
            found[index] += max(0, min(end, bounds_ms[index + 1]) - max(begin, bounds_ms[index]))
            index += 1
    return found


def _take(source: _Source, line: SourceLine) -> None:
    """Add a line to the streams and gaps of its source."""
    if line.type == "clip":  # written after its sound, also after the end of the stream
        return
    time_ms = unix_ms(line.time)
    part = _Part() if line.line is None else msgspec.json.decode(line.line, type=_Part)
    if line.type == "hello":
        _begin_stream(source, part, time_ms)
        return
    if not source.streams or (source.streams[-1].ended and line.type != "health"):
        source.streams.append(_Stream(time_ms, time_ms))
    stream = source.streams[-1]
    if line.type == "health":
        _take_state(source, part.state)
        if part.reason == "clock_step" and part.shift_ms > 0:
            _skip_forward(source, stream, part.shift_ms, time_ms)
        return
    source.sounded, source.reanchored = True, False
    if line.type == "gap" and part.start is not None:
        source.gaps.append((unix_ms(part.start), time_ms))
        stream.begin_ms = min(stream.begin_ms, unix_ms(part.start))
    if line.type == "stats" and part.duration_s is not None:
        stream.extend_to(time_ms - round(1000 * part.duration_s))
        if part.final:
            stream.ended, source.paused, source.sounded = True, False, False
    stream.last_ms = max(stream.last_ms, time_ms)


def _begin_stream(source: _Source, hello: _Part, time_ms: int) -> None:
    """Begin a stream by its `hello` line."""
    begin_ms = time_ms if hello.stream_start is None else unix_ms(hello.stream_start)
    source.streams.append(_Stream(begin_ms, time_ms))
    if source.sounded and not source.reanchored:  # the process before was killed, and its pause ended with it
        source.paused = False
    source.absent, source.sounded, source.reanchored = False, True, False


def _skip_forward(source: _Source, stream: _Stream, shift_ms: int, time_ms: int) -> None:
    """End the stream where the wall clock was set forward, and begin another one after the skipped time."""
    source.streams.append(_Stream(time_ms, time_ms, before=stream, skipped_ms=shift_ms))
    if stream.begin_ms == time_ms:  # made by this line
        stream.begin_ms = stream.last_ms = time_ms - shift_ms
    stream.last_ms = max(stream.last_ms, time_ms - shift_ms)


def _take_state(source: _Source, state: str | None) -> None:
    """Take the state of a `health` line; a pause and an absence begin and end apart from each other."""
    source.reanchored = state == "reanchored"
    if state == "paused":
        source.sounded = source.sounded and not source.paused  # a second pause is that of a new process
        source.paused = True
    elif state == "resumed":
        source.paused = False
    elif state in ("lost", "waiting", "back"):
        source.absent = state != "back"


def _scored_time(source: _Source, now_ms: int, stats_s: float | None) -> ScoredTime:
    alive = _merged([(stream.begin_ms, stream.last_ms) for stream in source.streams])
    scored = _without(alive, _merged(source.gaps))
    last = source.streams[-1] if source.streams else None
    unreported: tuple[Span, ...] = ()
    if last is not None and stats_s is not None and not (last.ended or source.absent or source.paused):
        end_ms = min(now_ms, last.last_ms + round(1000 * stats_s) + GRACE_MS)
        unreported = ((last.last_ms, end_ms),) if end_ms == now_ms > last.last_ms else ()
    return ScoredTime(tuple(scored), unreported)


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that touch as one."""
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > begin:
            merged.append((begin, end))
    return merged


def _without(spans: Iterable[Span], removed: Sequence[Span]) -> list[Span]:
    """Return what is left of spans, both in order and without overlap."""
    left: list[Span] = []
    for span_begin, end in spans:
        begin = span_begin
        for gap_begin, gap_end in removed:
            if gap_end <= begin or gap_begin >= end:
                continue
            if gap_begin > begin:
                left.append((begin, gap_begin))
            begin = gap_end
        if begin < end:
            left.append((begin, end))
    return left
