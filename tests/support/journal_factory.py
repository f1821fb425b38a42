"""Journals with events in them, made by hand."""

from __future__ import annotations

from pathlib import Path

import msgspec

from soundwatch.daemon.events.schema import ClipLine, EventLine, HelloLine, Line
from soundwatch.daemon.journal.entry import StoredLine
from soundwatch.daemon.journal.store import JournalStore

TIME = "2026-09-21T14:13:21.000Z"


def hello(*classes: str) -> HelloLine:
    return HelloLine(
        seq=0,
        time=TIME,
        node="balcony",
        source="mic0",
        stream_start=TIME,
        version="0",
        model="urban@sha256:0",
        provider="CPU",
        classes=classes,
        thresholds=dict.fromkeys(classes, 0.5),
        description="",
        source_rate_hz=8000,
        source_channels=1,
        window_s=4.0,
        hop_s=1.0,
    )


def event(id_: str, label: str = "siren", type_: str = "end", time: str = TIME) -> EventLine:
    return EventLine(
        type=type_,  # type: ignore[arg-type]
        seq=0,
        id=id_,
        time=time,
        node="balcony",
        source="mic0",
        class_=label,
        class_id=0,
        score=0.9,
        peak_score=0.95,
        level_dbfs=-20.0,
        onset=time,
        offset=time if type_ == "end" else None,
        duration_s=0.0 if type_ == "end" else None,
        reason="decay" if type_ == "end" else None,
        latency_ms=1,
        model="urban@sha256:0",
        provider="CPU",
    )


def clip_line(id_: str, *, file: str | None = None, reason: str | None = None) -> ClipLine:
    return ClipLine(
        seq=0,
        time=TIME,
        node="balcony",
        source="mic0",
        id=id_,
        class_="siren",
        file=file,
        path=file,
        reason=reason,  # type: ignore[arg-type]
        start=TIME,
        duration_s=1.0,
        lost_s=0.0,
        bytes=None,
        rate_hz=8000,
        channels=1,
    )


def write_journal(path: Path, *lines: Line) -> JournalStore:
    """Return an open journal with these lines."""
    store = JournalStore(path)
    store.commit([row(seq, line) for seq, line in enumerate(lines, 1)])
    return store


def row(seq: int, line: Line) -> StoredLine:
    text = msgspec.json.encode(msgspec.structs.replace(line, seq=seq)) + b"\n"
    class_, id_ = getattr(line, "class_", None), getattr(line, "id", None)
    return StoredLine(seq, line.time, line.type, "mic0", class_, id_, text)
