"""How one machine does, as it tells a fleet: who it is, what it hears with, and how far its journal has come.

Conventions: JSON, `soundwatch.report/1`; `time` is the machine's own clock when it was sent. Unknown keys pass.
Does not: send or gather them (`sinks/mqtt_fleet.py`, `fleet/`).
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from soundwatch.daemon import __version__
from soundwatch.daemon.core.clock import format_utc
from soundwatch.daemon.sinks.context import SinkContext
from soundwatch.daemon.status.live import SourceStats
from soundwatch.daemon.status.snapshot import SourceStatus

REPORT_SCHEMA: Final = "soundwatch.report/1"
DAY_S: Final = 86_400

SafeText = Annotated[str, msgspec.Meta(max_length=1000, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]  # safe on a terminal
MAX_SEQ: Final = 2**53
Seq = Annotated[int, msgspec.Meta(ge=0, lt=MAX_SEQ)]


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one source does.

    Attributes:
        hearing: Whether it is heard, and if not, why.
        since: When that began; None before anything was known.
        detail: The same for people.
        description: What it is; None before its first sound.
        coverage: Share of its stream that was heard, 0 to 1; None before its first sound.
        faults: What is wrong with its sound.
        active: Ids of its events that last.
    """

    hearing: SafeText
    since: SafeText | None = None
    detail: SafeText = ""
    description: SafeText | None = None
    coverage: float | None = None
    faults: tuple[SafeText, ...] = ()
    active: tuple[SafeText, ...] = ()


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a machine does.

    Attributes:
        time: When it says so, by its own clock.
        node: Its name.
        journal: What tells its journal's numbers from another's.
        last_seq: Number of its journal's last line.
        sent_seq: Number of the last line that it has sent to this fleet; None where it has sent none since it began.
        version: Of soundwatch.
        model: Name and hash of the model that listens.
        provider: What runs it.
        report_s: Seconds until it says so again.
        sources: Each, by name.
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


def build_report(around: SinkContext, sent_seq: int | None, report_s: float, now_unix_ns: int) -> NodeReport:
    """How this machine does now."""
    source_stats = dict(around.live.source_stats)
    return NodeReport(
        time=format_utc(now_unix_ns),
        node=around.node,
        journal=around.journal,
        last_seq=around.last_seq(),
        sent_seq=sent_seq,
        version=__version__,
        model=around.model(),
        provider=around.provider(),
        report_s=report_s,
        sources={name: _source(board, source_stats.get(name)) for name, board in around.board().sources.items()},
    )


def _source(board: SourceStatus, truth: SourceStats | None) -> SourceReport:
    coverage = truth.summary.coverage if truth is not None else None
    return SourceReport(
        hearing=board.hearing,
        since=board.since or None,
        detail=_one_line(board.detail),
        description=_one_line(board.hello.description) if board.hello else None,
        coverage=None if coverage is None else round(coverage, 6),
        faults=board.faults,
        active=tuple(event.id for event in board.active),
    )


def _one_line(text: str) -> str:
    """A text as a report may have it."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:1000]
