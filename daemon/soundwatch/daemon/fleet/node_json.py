"""A machine of a fleet for other programs: one flat record, as `fleet nodes` prints it.

Conventions: JSON, `soundwatch.fleet/1`; units in key suffixes; what is not known is null.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from soundwatch.daemon.core.clock import format_utc
from soundwatch.daemon.fleet.node_status import NodeStatus, State
from soundwatch.daemon.sinks.mqtt.node_report import SourceReport


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where one machine stands.

    Attributes:
        node: Its name, as topics have it.
        state: online; silent where it is connected and says nothing; stopped; offline; unknown.
        since: When that was last told of; null before that.
        heard: When its last report came; null before that.
        version: Of soundwatch there.
        model: Name and hash of the model that listens.
        provider: What runs it.
        coverage: The least of its sources', 0 to 1.
        skew_s: What its clock is ahead of ours by.
        last_seq: Number of its journal's last line.
        lost_lines: How many of its lines are gone for good.
        active: Classes that are heard there now, and where.
        problems: What is wrong, each a sentence.
        sources: Each of its sources.
    """

    schema: Literal["soundwatch.fleet/1"] = "soundwatch.fleet/1"
    node: str
    state: State
    since: str | None
    heard: str | None
    version: str | None
    model: str | None
    provider: str | None
    coverage: float | None
    skew_s: float | None
    last_seq: int | None
    lost_lines: int
    active: tuple[str, ...]
    problems: tuple[str, ...]
    sources: dict[str, SourceReport]


def node_record(node: NodeStatus, now_unix_ns: int) -> NodeRecord:
    """Where a machine stands now."""
    report = node.report
    active = (line.told for line in node.active.values())
    return NodeRecord(
        node=node.name,
        state=node.state(now_unix_ns),
        since=_moment(node.status_unix_ns),
        heard=_moment(node.report_unix_ns),
        version=report.version if report else None,
        model=report.model if report else None,
        provider=report.provider if report else None,
        coverage=node.coverage(),
        skew_s=None if node.skew_s is None else round(node.skew_s, 3),
        last_seq=report.last_seq if report else None,
        lost_lines=node.lost_lines,
        active=tuple(f"{told.class_} at {told.source}" for told in active),
        problems=tuple(node.problems(now_unix_ns)),
        sources=report.sources if report else {},
    )


def _moment(unix_ns: int) -> str | None:
    return format_utc(unix_ns) if unix_ns else None
