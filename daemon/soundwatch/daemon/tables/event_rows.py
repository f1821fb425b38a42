"""Rows of tables: one event each, made of its `start`, `update` and `end`.

Conventions: lines are bytes of JSON in the order of writing, `hello` before the events of its stream. A row stands at
the place of its event's last line. An event without an end has a row of the known values. `onset_s` and `offset_s`
count from the start of the recording or stream; time that a clock skipped when it was set forward does not count.
Does not: write files (`tables/writers.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from soundwatch.daemon.core.records.copy_fields import copy_fields


class EventRow(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """One row of a table; times in UTC, `_s` in seconds of the recording or stream."""

    file: str | None
    source: str
    node: str
    class_: str
    class_id: int
    onset: str
    offset: str | None
    onset_s: float | None
    offset_s: float | None
    duration_s: float | None
    peak_score: float
    level_dbfs: float | None
    reason: str | None
    id: str
    model: str
    provider: str
    level_dba: float | None
    peak_level_dba: float | None
    calibrated: bool | None


class _Fields(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """Fields of a line that tables use."""

    type: str
    node: str | None = None
    source: str | None = None
    description: str | None = None
    stream_start: str | None = None
    id: str = ""
    class_: str = ""
    class_id: int = 0
    onset: str = ""
    offset: str | None = None
    duration_s: float | None = None
    peak_score: float = 0.0
    level_dbfs: float | None = None
    reason: str | None = None
    shift_ms: int = 0
    final: bool = True
    model: str = ""
    provider: str = ""
    level_dba: float | None = None
    peak_level_dba: float | None = None
    calibrated: bool | None = None


class Stream(msgspec.Struct, frozen=True):
    """Origin of the times of events.

    Attributes:
        description: Path of the recording, or name of the device.
        start: UTC of the first sample, by the clock of the latest lines.
        before_s: Total duration of the recordings before this one.
    """

    description: str | None = None
    start: datetime | None = None
    before_s: float = 0.0

    def moved(self, shift_ms: int) -> Stream:
        """Return the stream by a clock that was set forward."""
        start = None if self.start is None else self.start + timedelta(milliseconds=shift_ms)
        return Stream(self.description, start, self.before_s)


def event_rows(lines: Iterable[bytes]) -> Iterator[tuple[EventRow, Stream]]:
    """Yield the events of lines, each with its stream."""
    streams: dict[tuple[str | None, str | None], Stream] = {}
    active: dict[str, tuple[_Fields, Stream]] = {}
    ended_s = 0.0
    for line in lines:
        fields = msgspec.json.decode(line, type=_Fields)
        key = (fields.node, fields.source)
        if fields.type == "hello":
            start = datetime.fromisoformat(fields.stream_start) if fields.stream_start else None
            streams[key] = Stream(fields.description, start, ended_s)
        elif fields.type == "health" and fields.shift_ms > 0 and key in streams:  # set back far, a `hello` follows
            streams[key] = streams[key].moved(fields.shift_ms)
        elif fields.type == "stats" and fields.final:
            ended_s += fields.duration_s or 0.0
        elif fields.type in ("start", "update", "end") and fields.id:
            first, stream = active.pop(fields.id, (fields, streams.get(key, Stream())))
            event = msgspec.structs.replace(fields, level_dbfs=first.level_dbfs, level_dba=first.level_dba)
            if fields.type == "end":
                yield _row(event, stream, streams.get(key, stream)), stream
            else:
                active[fields.id] = event, stream
    for fields, stream in active.values():
        yield _row(fields, stream, stream), stream


def _row(event: _Fields, stream: Stream, stream_at_end: Stream) -> EventRow:
    return copy_fields(
        event,
        EventRow,
        file=stream.description,
        source=event.source or "",
        node=event.node or "",
        onset_s=_since(stream.start, event.onset),
        offset_s=_since(stream_at_end.start, event.offset),
    )


def _since(start: datetime | None, time: str | None) -> float | None:
    if start is None or time is None:
        return None
    return (datetime.fromisoformat(time) - start).total_seconds()
