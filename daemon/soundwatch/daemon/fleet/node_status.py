"""Status of the nodes: a reducer over their messages.

Conventions: frozen records, so that any thread may read the latest. `*_unix_ns` are by this machine's clock. The clock
skew of a node is the time of sending in its report minus the time of reception. Transit makes this value smaller, so
the largest of the last `KEPT_SKEWS` counts.
Does not: store lines (`store.py`), or track gaps (`gap_tracker.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from soundwatch.daemon.fleet.messages import LineMessage, ReportMessage, StatusMessage
from soundwatch.daemon.sinks.mqtt.node_report import NodeReport

State = Literal["online", "silent", "stopped", "offline", "unknown"]
KEPT_SKEWS: Final = 20
MAX_ACTIVE: Final = 200
MAX_SKEW_S: Final = 1.0
REPORTS_MISSED: Final = 3  # until a node is silent
DUPLICATE_NS: Final = 600_000_000_000
_NOT_RUNNING: Final = ("waiting", "lost", "ended")


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Status of one node.

    Attributes:
        name: Name of the node in topics.
        status: Last status message, of the node or of its broker; empty before the first.
        status_unix_ns: Time of that message.
        report: Last report; None before the first.
        report_unix_ns: Time of that report.
        skews_ns: Lead of the node's clock at its last reports, minus the time of transit.
        journals: Last journals, each with the time of its last report, latest at the end.
        active: Last line of each active event, by id.
        lost_lines: Number of lines that are lost for good.
    """

    name: str
    status: str = ""
    status_unix_ns: int = 0
    report: NodeReport | None = None
    report_unix_ns: int = 0
    skews_ns: tuple[int, ...] = ()
    journals: tuple[tuple[str, int], ...] = ()
    active: Mapping[str, LineMessage] = field(default_factory=dict)
    lost_lines: int = 0

    @property
    def skew_s(self) -> float | None:
        """Lead of the node's clock; None before the first report."""
        return max(self.skews_ns) / 1e9 if self.skews_ns else None

    @property
    def is_duplicated(self) -> bool:
        """Two machines seem to have this name: an earlier journal reports again."""
        names = [name for name, _ in self.journals]
        return len(names) != len(set(names))

    def state(self, now_unix_ns: int) -> State:
        """State of the node."""
        if self.status == "online" and self.report is not None:
            timeout_ns = REPORTS_MISSED * round(self.report.report_s * 1e9)
            if now_unix_ns > max(self.report_unix_ns, self.status_unix_ns) + timeout_ns:
                return "silent"
        match self.status:
            case "online" | "stopped" | "offline":
                return self.status
        return "unknown"

    def problems(self, now_unix_ns: int) -> Iterator[str]:
        """Yield the problems as sentences."""
        state = self.state(now_unix_ns)
        if state == "offline":
            yield "It was killed, or its connection to the broker was lost."
        if state == "silent":
            yield "It is connected to the broker and sends no reports."
        if self.is_duplicated:
            yield "Two machines have this name; give each its own with `node`."
        if self.report is not None and state in ("online", "silent"):
            for name, source in self.report.sources.items():
                if source.hearing in _NOT_RUNNING:
                    yield f"{name} delivers no sound: {source.detail or source.hearing}"
                if source.faults:
                    yield f"The sound of {name} has faults: {', '.join(source.faults).replace('_', ' ')}."
        if self.skew_s is not None and abs(self.skew_s) > MAX_SKEW_S:
            yield f"Its clock is {abs(self.skew_s):.1f} s {'ahead' if self.skew_s > 0 else 'behind'}."
        if self.lost_lines:
            yield f"{self.lost_lines} of its lines are lost for good."

    def coverage(self) -> float | None:
        """Smallest coverage of its sources; None before the first report."""
        sources = self.report.sources.values() if self.report else ()
        return min((source.coverage for source in sources if source.coverage is not None), default=None)


def with_status(node: NodeStatus, message: StatusMessage) -> NodeStatus:
    """Return the node after a status message."""
    active = node.active if message.status == "online" else {}
    if message.retained and message.status == node.status:  # already known
        return replace(node, active=active)
    return replace(node, status=message.status, status_unix_ns=message.received_unix_ns, active=active)


def with_report(node: NodeStatus, message: ReportMessage) -> NodeStatus:
    """Return the node after a report."""
    skews_ns = node.skews_ns
    if not message.retained:
        skews_ns = (*skews_ns, message.sent_unix_ns - message.received_unix_ns)[-KEPT_SKEWS:]
        if node.status != "online":  # its status message was lost; when it stops, the status follows its last report
            node = replace(node, status="online", status_unix_ns=message.received_unix_ns)
    active_ids = {id_ for source in message.report.sources.values() for id_ in source.active}
    return replace(
        node,
        report=message.report,
        report_unix_ns=max(node.report_unix_ns, message.sent_unix_ns) if message.retained else message.received_unix_ns,
        skews_ns=skews_ns,
        journals=_journals(node, message.report.journal, message.received_unix_ns),
        active={id_: line for id_, line in node.active.items() if id_ in active_ids},
    )


def with_line(node: NodeStatus, message: LineMessage) -> NodeStatus:
    """Return the node after a new line."""
    id_ = message.header.id
    if message.header.type not in ("start", "update", "end") or id_ is None:
        return node
    active = {key: line for key, line in node.active.items() if key != id_}
    if message.header.type != "end" and (id_ in node.active or not message.repeated):
        active[id_] = message
    while len(active) > MAX_ACTIVE:
        del active[next(iter(active))]
    return replace(node, active=active)


def _journals(node: NodeStatus, journal: str, now_unix_ns: int) -> tuple[tuple[str, int], ...]:
    """Return the last changes between journals."""
    recent = tuple(entry for entry in node.journals if entry[1] > now_unix_ns - DUPLICATE_NS)
    if recent and recent[-1][0] == journal:
        return (*recent[:-1], (journal, now_unix_ns))
    return (*recent, (journal, now_unix_ns))[-4:]
