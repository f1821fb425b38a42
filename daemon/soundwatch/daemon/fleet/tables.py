"""The tables of a fleet's store, and what stands in their rows.

Conventions: `lines` has each line once, as JSON and with the columns that people ask by; its key holds `time`, so
that TimescaleDB can make a hypertable of it.
Does not: read or write (`journal/store.py`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import sqlalchemy as sql

from soundwatch.daemon.core.seq_ranges import SeqRanges
from soundwatch.daemon.fleet.gap_tracker import JournalCoverage, Key
from soundwatch.daemon.fleet.messages import LineMessage
from soundwatch.daemon.fleet.node_status import NodeStatus
from soundwatch.daemon.sinks.mqtt.node_report import NodeReport

SCHEMA = sql.MetaData()
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


def line_row(said: LineMessage) -> dict[str, Any]:
    """A line as a row."""
    told = said.told
    return {
        "node": said.node,
        "journal": said.journal,
        "seq": told.seq,
        "time": told.time,
        "type": told.type,
        "source": told.source,
        "class": told.class_,
        "id": told.id,
        "score": told.score,
        "level_dbfs": told.level_dbfs,
        "duration_s": told.duration_s,
        "model": told.model,
        "line": said.line,
    }


def account_row(key: Key, account: JournalCoverage) -> dict[str, Any]:
    """An account as a row."""
    return {
        "node": key[0],
        "journal": key[1],
        "begin": account.begin,
        "sent_seq": account.sent_seq,
        "held": msgspec.json.encode(account.held).decode(),
        "gone": msgspec.json.encode(account.gone).decode(),
    }


def parse_ranges(text: str) -> SeqRanges:
    """Runs as they were kept."""
    return msgspec.json.decode(text, type=SeqRanges)


def node_row(node: NodeStatus) -> dict[str, Any]:
    """A machine as a row."""
    return {
        "node": node.name,
        "status": node.status,
        "status_unix_ns": node.status_unix_ns,
        "report": None if node.report is None else msgspec.json.encode(node.report).decode(),
        "report_unix_ns": node.report_unix_ns,
        "skew_ns": max(node.skews_ns) if node.skews_ns else None,
        "lost_lines": node.lost_lines,
    }


def node_of(row: Any) -> NodeStatus:
    """A machine as it was kept."""
    return NodeStatus(
        name=row.node,
        status=row.status,
        status_unix_ns=row.status_unix_ns,
        report=None if row.report is None else msgspec.json.decode(row.report, type=NodeReport),
        report_unix_ns=row.report_unix_ns,
        skews_ns=() if row.skew_ns is None else (row.skew_ns,),
        lost_lines=row.lost_lines,
    )
