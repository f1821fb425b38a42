"""Record of one node, as `fleet nodes` prints it.

Conventions: JSON, `soundwatch.fleet/1`; units in key suffixes; unknown values are null.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.fleet.node_status import NodeStatus, State
from soundwatch.daemon.sinks.mqtt.node_report import SourceReport


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Status of one node.

    Attributes:
        schema: Name and version of this format.
        node: Name of the node in topics.
        state: online; silent if connected without reports; stopped; offline; unknown.
        since: Time of the last status message; null before the first.
        heard: Time of the last report; null before the first.
        version: Version of soundwatch.
        model: Name and hash of the model.
        provider: Execution provider of the model.
        coverage: Smallest coverage of its sources, 0 to 1.
        skew_s: Lead of its clock over this machine's clock.
        last_seq: Number of the journal's last line.
        lost_lines: Number of lines that are lost for good.
        active: Classes and sources of its active events.
        problems: Problems as sentences.
        sources: Reports of its sources.
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
    """Build the record of a node."""
    report = node.report
    active = (line.header for line in node.active.values())
    return NodeRecord(
        node=node.name,
        state=node.state(now_unix_ns),
        since=_time_text(node.status_unix_ns),
        heard=_time_text(node.report_unix_ns),
        version=report.version if report else None,
        model=report.model if report else None,
        provider=report.provider if report else None,
        coverage=node.coverage(),
        skew_s=None if node.skew_s is None else round(node.skew_s, 3),
        last_seq=report.last_seq if report else None,
        lost_lines=node.lost_lines,
        active=tuple(f"{header.class_} at {header.source}" for header in active),
        problems=tuple(node.problems(now_unix_ns)),
        sources=report.sources if report else {},
    )


def _time_text(unix_ns: int) -> str | None:
    return format_utc(unix_ns) if unix_ns else None
