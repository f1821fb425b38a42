"""Tables of a fleet store, and the conversion of their rows.

Conventions: `lines` has each line once, as JSON and with columns for queries; its key contains `time`, as a hypertable
of TimescaleDB requires.
Does not: read or write the store (`store.py`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import sqlalchemy as sql

from soundwatch.daemon.fleet.gap_tracker import JournalCoverage, Key
from soundwatch.daemon.fleet.messages import LineMessage
from soundwatch.daemon.fleet.node_status import NodeStatus
from soundwatch.daemon.journal.seq_ranges import SeqRanges
from soundwatch.daemon.sinks.mqtt.node_report import NodeReport

SCHEMA: Final = sql.MetaData()
LINES: Final = sql.Table(
    "lines",
    SCHEMA,
    sql.Column("node", sql.Text, primary_key=True),
    sql.Column("journal", sql.Text, primary_key=True),
    sql.Column("seq", sql.BigInteger, primary_key=True),
    sql.Column("time", sql.DateTime(timezone=True), primary_key=True),
    sql.Column("type", sql.Text, nullable=False),
    sql.Column("source", sql.Text),
    sql.Column("class", sql.Text),
    sql.Column("id", sql.Text),
    sql.Column("score", sql.Double),
    sql.Column("level_dbfs", sql.Double),
    sql.Column("duration_s", sql.Double),
    sql.Column("model", sql.Text),
    sql.Column("line", sql.Text, nullable=False),
    sql.Index("lines_time", "time", "node", "seq"),
    sql.Index("lines_class_time", "class", "time"),
)
JOURNALS: Final = sql.Table(
    "journals",
    SCHEMA,
    sql.Column("node", sql.Text, primary_key=True),
    sql.Column("journal", sql.Text, primary_key=True),
    sql.Column("begin", sql.BigInteger, nullable=False),
    sql.Column("sent_seq", sql.BigInteger, nullable=False),
    sql.Column("held", sql.Text, nullable=False),
    sql.Column("gone", sql.Text, nullable=False),
)
NODES: Final = sql.Table(
    "nodes",
    SCHEMA,
    sql.Column("node", sql.Text, primary_key=True),
    sql.Column("status", sql.Text, nullable=False),
    sql.Column("status_unix_ns", sql.BigInteger, nullable=False),
    sql.Column("report", sql.Text),
    sql.Column("report_unix_ns", sql.BigInteger, nullable=False),
    sql.Column("skew_ns", sql.BigInteger),
    sql.Column("lost_lines", sql.BigInteger, nullable=False),
)
FORMATS: Final = sql.Table("format", SCHEMA, sql.Column("format", sql.Integer, primary_key=True))


def line_row(message: LineMessage) -> dict[str, Any]:
    """Convert a line to a row."""
    header = message.header
    return {
        "node": message.node,
        "journal": message.journal,
        "seq": header.seq,
        "time": header.time,
        "type": header.type,
        "source": header.source,
        "class": header.class_,
        "id": header.id,
        "score": header.score,
        "level_dbfs": header.level_dbfs,
        "duration_s": header.duration_s,
        "model": header.model,
        "line": message.line,
    }


def coverage_row(key: Key, coverage: JournalCoverage) -> dict[str, Any]:
    """Convert a coverage to a row."""
    return {
        "node": key[0],
        "journal": key[1],
        "begin": coverage.begin,
        "sent_seq": coverage.sent_seq,
        "held": msgspec.json.encode(coverage.held).decode(),
        "gone": msgspec.json.encode(coverage.gone).decode(),
    }


def parse_ranges(text: str) -> SeqRanges:
    """Parse stored ranges."""
    return msgspec.json.decode(text, type=SeqRanges)


def node_row(node: NodeStatus) -> dict[str, Any]:
    """Convert a node to a row."""
    return {
        "node": node.name,
        "status": node.status,
        "status_unix_ns": node.status_unix_ns,
        "report": None if node.report is None else msgspec.json.encode(node.report).decode(),
        "report_unix_ns": node.report_unix_ns,
        "skew_ns": max(node.skews_ns) if node.skews_ns else None,
        "lost_lines": node.lost_lines,
    }


def parse_node(row: Any) -> NodeStatus:
    """Convert a row to a node."""
    return NodeStatus(
        name=row.node,
        status=row.status,
        status_unix_ns=row.status_unix_ns,
        report=None if row.report is None else msgspec.json.decode(row.report, type=NodeReport),
        report_unix_ns=row.report_unix_ns,
        skews_ns=() if row.skew_ns is None else (row.skew_ns,),
        lost_lines=row.lost_lines,
    )
