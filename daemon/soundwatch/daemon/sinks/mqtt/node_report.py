"""Report of one machine to a fleet: name, versions, model, sources, and the last number of the journal.

Conventions: JSON, `soundwatch.report/1`; `time` is the machine's own clock at sending. Unknown keys pass.
Does not: send or collect reports (`sinks/mqtt/sink.py`, `fleet/`).
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from soundwatch.daemon import __version__
from soundwatch.daemon.core.time.clock import DAY_S, format_utc
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.status.live import SourceStats
from soundwatch.daemon.status.snapshot import SourceStatus

REPORT_SCHEMA: Final = "soundwatch.report/1"

SAFE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]*\Z"  # safe on a terminal
SafeText = Annotated[str, msgspec.Meta(max_length=1000, pattern=SAFE_PATTERN)]
MAX_SEQ: Final = 2**53
Seq = Annotated[int, msgspec.Meta(ge=0, lt=MAX_SEQ)]


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """State of one source.

    Attributes:
        hearing: State of the source.
        since: Start of the state; None before the first state.
        detail: Explanation for people.
        description: Device; None before the first sound.
        coverage: Share of the stream that was analyzed, 0 to 1; None before the first sound.
        faults: Faults of the sound.
        active: Ids of the events that have no end yet.
    """

    hearing: SafeText
    since: SafeText | None = None
    detail: SafeText = ""
    description: SafeText | None = None
    coverage: float | None = None
    faults: tuple[SafeText, ...] = ()
    active: tuple[SafeText, ...] = ()


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """State of a machine.

    Attributes:
        schema: Name and version of this format.
        time: Time of the report, by the machine's own clock.
        node: Name of the machine.
        journal: Identity of the journal.
        last_seq: Number of the journal's last line.
        sent_seq: Number of the last line that was sent to this fleet; None for none since the start.
        version: Version of soundwatch.
        model: Name and hash of the model.
        provider: Execution provider.
        report_s: Interval of reports.
        sources: State of each source, by name.
    """

    schema: SafeText = REPORT_SCHEMA
    time: SafeText
    node: SafeText
    journal: SafeText
    last_seq: Seq
    sent_seq: Seq | None
    version: SafeText
    model: SafeText
    provider: SafeText
    report_s: Annotated[float, msgspec.Meta(gt=0, le=DAY_S)]
    sources: dict[SafeText, SourceReport]


def build_report(view: DaemonView, sent_seq: int | None, report_s: float, now_unix_ns: int) -> NodeReport:
    """Return the report of this machine."""
    source_stats, model = dict(view.live.source_stats), view.model()
    return NodeReport(
        time=format_utc(now_unix_ns),
        node=view.node,
        journal=view.journal.store.identity(),
        last_seq=view.journal.last_seq,
        sent_seq=sent_seq,
        version=__version__,
        model=model.contract.identity,
        provider=model.provider,
        report_s=report_s,
        sources={
            name: _source(status, source_stats.get(name)) for name, status in view.status.snapshot.sources.items()
        },
    )


def _source(status: SourceStatus, stats: SourceStats | None) -> SourceReport:
    coverage = stats.summary.coverage if stats is not None else None
    return SourceReport(
        hearing=status.state,
        since=status.since or None,
        detail=_one_line(status.detail),
        description=_one_line(status.hello.description) if status.hello else None,
        coverage=None if coverage is None else round(coverage, 6),
        faults=status.faults,
        active=tuple(event.id for event in status.active),
    )


def _one_line(text: str) -> str:
    """Return a text on one line, without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:1000]
