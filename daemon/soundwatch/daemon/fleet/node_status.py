"""Where every machine stands: a reducer over what machines say.

Conventions: frozen records, so any thread may look at the latest. `*_unix_ns` are by our clock. A machine's clock is
compared where a report comes: what it says it is, against when it came. The way takes time, so of the last
`KEPT_SKEWS` the one that took least counts; a machine's skew is right to that time.
Does not: keep lines (`journal/store.py`), or know what is missing (`fleet/gap_tracker.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from soundwatch.daemon.fleet.messages import LineMessage, ReportMessage, StatusMessage
from soundwatch.daemon.sinks.mqtt.node_report import NodeReport

State = Literal["online", "silent", "stopped", "offline", "unknown"]
KEPT_SKEWS: Final = 20
MOST_ACTIVE: Final = 200
MOST_SKEW_S: Final = 1.0
REPORTS_MISSED: Final = 3  # after so many a machine is silent
TWINS_NS: Final = 600_000_000_000
_UNHEARD: Final = ("waiting", "lost", "ended")


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Where one machine stands.

    Attributes:
        name: As topics have it.
        status: Its, or its broker's, last word; empty before any.
        status_unix_ns: When that came.
        report: Its last one; None before any.
        report_unix_ns: When that came.
        skews_ns: What its clock was ahead of ours by, at its last reports, the way's time deducted from it.
        journals: Its last journals and when each was last told of, the latest at the end.
        active: The last line of each of its events that last, by id.
        lost_lines: How many are gone for good.
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
        """What its clock is ahead of ours by; None before it is known."""
        return max(self.skews_ns) / 1e9 if self.skews_ns else None

    @property
    def twins(self) -> bool:
        """Whether two machines seem to have this name: the one before the last journal is told of again."""
        names = [name for name, _ in self.journals]
        return len(names) != len(set(names))

    def state(self, now_unix_ns: int) -> State:
        """Whether it is there."""
        if self.status == "online" and self.report is not None:
            patience_ns = REPORTS_MISSED * round(self.report.report_s * 1e9)
            if now_unix_ns > max(self.report_unix_ns, self.status_unix_ns) + patience_ns:
                return "silent"
        match self.status:
            case "online" | "stopped" | "offline":
                return self.status
        return "unknown"

    def problems(self, now_unix_ns: int) -> Iterator[str]:
        """What is wrong, each a sentence."""
        state = self.state(now_unix_ns)
        if state == "offline":
            yield "It was killed, or cut off from the broker."
        if state == "silent":
            yield "It is connected to the broker and says nothing."
        if self.twins:
            yield "Two machines have this name; give each its own with `node`."
        if self.report is not None and state in ("online", "silent"):
            for name, source in self.report.sources.items():
                if source.hearing in _UNHEARD:
                    yield f"{name} is not heard: {source.detail or source.hearing}"
                if source.faults:
                    yield f"The sound of {name} is poor: {', '.join(source.faults).replace('_', ' ')}."
        if self.skew_s is not None and abs(self.skew_s) > MOST_SKEW_S:
            yield f"Its clock is {abs(self.skew_s):.1f} s {'ahead' if self.skew_s > 0 else 'behind'}."
        if self.lost_lines:
            yield f"{self.lost_lines} of its lines are gone for good."

    def coverage(self) -> float | None:
        """The least of its sources' coverages; None before any is known."""
        sources = self.report.sources.values() if self.report else ()
        return min((source.coverage for source in sources if source.coverage is not None), default=None)


def with_status(node: NodeStatus, said: StatusMessage) -> NodeStatus:
    """The node after it was said whether it runs."""
    active = node.active if said.status == "online" else {}
    if said.retained and said.status == node.status:  # of an earlier time, and known
        return replace(node, active=active)
    return replace(node, status=said.status, status_unix_ns=said.heard_unix_ns, active=active)


def with_report(node: NodeStatus, said: ReportMessage) -> NodeStatus:
    """The node after its report."""
    skews_ns = node.skews_ns
    if not said.retained:
        skews_ns = (*skews_ns, said.sent_unix_ns - said.heard_unix_ns)[-KEPT_SKEWS:]
        if node.status != "online":  # its word for that got lost; where it stops, that comes after its last report
            node = replace(node, status="online", status_unix_ns=said.heard_unix_ns)
    still = {id_ for source in said.report.sources.values() for id_ in source.active}
    return replace(
        node,
        report=said.report,
        report_unix_ns=max(node.report_unix_ns, said.sent_unix_ns) if said.retained else said.heard_unix_ns,
        skews_ns=skews_ns,
        journals=_journals(node, said.report.journal, said.heard_unix_ns),
        active={id_: line for id_, line in node.active.items() if id_ in still},
    )


def with_line(node: NodeStatus, said: LineMessage) -> NodeStatus:
    """The node after a line of it that is new."""
    id_ = said.told.id
    if said.told.type not in ("start", "update", "end") or id_ is None:
        return node
    active = {key: line for key, line in node.active.items() if key != id_}
    if said.told.type != "end" and (id_ in node.active or not said.repeated):
        active[id_] = said
    while len(active) > MOST_ACTIVE:
        del active[next(iter(active))]
    return replace(node, active=active)


def _journals(node: NodeStatus, journal: str, now_unix_ns: int) -> tuple[tuple[str, int], ...]:
    """The last few times that another journal was told of."""
    recent = tuple(each for each in node.journals if each[1] > now_unix_ns - TWINS_NS)
    if recent and recent[-1][0] == journal:
        return (*recent[:-1], (journal, now_unix_ns))
    return (*recent, (journal, now_unix_ns))[-4:]
