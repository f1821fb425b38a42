"""Nodes of a fleet without sources: their messages, and journals that a collector reads over a real broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from soundwatch.daemon.fleet.messages import LineMessage, ReportMessage, StatusMessage, parse_message
from soundwatch.daemon.sinks.mqtt.connection import MqttMessage
from soundwatch.daemon.sinks.mqtt.node_report import NodeReport, SourceReport

JOURNAL = "0123456789abcdef"
BEGIN = datetime(2026, 11, 22, 8, 15, 2, 418_000, tzinfo=UTC)
BEGIN_NS = round(BEGIN.timestamp() * 1000) * 1_000_000


def line_of(seq: int, node: str = "edge1", journal: str = JOURNAL, **keys: Any) -> LineMessage:
    """Return a line as from the broker; by default an event's start."""
    said = parse_message(
        MqttMessage(f"soundwatch/{node}/lines/{journal}", msgspec.json.encode(keys_of(seq, node, **keys)))
    )
    assert isinstance(said, LineMessage)
    return said


def keys_of(seq: int, node: str = "edge1", **keys: Any) -> dict[str, Any]:
    """Return the keys of such a line."""
    moment = (BEGIN + timedelta(seconds=seq)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event = {"type": "start", "source": "mic0", "class": "siren", "id": f"E{seq}", "score": 0.9, "level_dbfs": -30.5}
    return {"schema": "soundwatch.event/1", "seq": seq, "time": moment, "node": node} | event | keys


def report_of(
    last_seq: int,
    sent_seq: int | None,
    *,
    journal: str = JOURNAL,
    heard_unix_ns: int = BEGIN_NS,
    retained: bool = False,
    node: str = "edge1",
    sources: dict[str, SourceReport] | None = None,
) -> ReportMessage:
    """A report as it comes from the broker, sent at `BEGIN` by the machine's clock."""
    report = NodeReport(
        time="2026-11-22T08:15:02.418Z",
        node=node,
        journal=journal,
        last_seq=last_seq,
        sent_seq=sent_seq,
        version="0.1.0",
        model="urban@sha256:abababababab",
        provider="CPUExecutionProvider",
        report_s=30.0,
        sources=sources or {},
    )
    message = MqttMessage(f"soundwatch/{node}/report", msgspec.json.encode(report), retained, heard_unix_ns)
    said = parse_message(message)
    assert isinstance(said, ReportMessage)
    return said


def status_of(status: str, heard_unix_ns: int = BEGIN_NS, node: str = "edge1") -> StatusMessage:
    """A status as it comes from the broker."""
    said = parse_message(MqttMessage(f"soundwatch/{node}/status", status.encode(), received_unix_ns=heard_unix_ns))
    assert isinstance(said, StatusMessage)
    return said
