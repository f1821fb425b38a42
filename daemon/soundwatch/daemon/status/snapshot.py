"""Where everything stands, found by reading the lines: a reducer that the page, MQTT and metrics share.

Conventions: one line in, the next state out; states are frozen, so any thread may look at the latest. Times are as
lines have them.
Does not: know windows or levels (`live.py`), or how sinks do (`outlets.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from soundwatch.daemon.core.source import SourceTransition
from soundwatch.daemon.events.schema import (
    EventLine,
    GapLine,
    HelloLine,
    JournalHealthLine,
    Line,
    OverloadLine,
    ProviderLine,
    QualityLine,
    ReloadLine,
    SourceHealthLine,
    StatsLine,
)

SourceState = Literal["opening", "waiting", "heard", "lost", "paused", "ended"]
_HEARING: Final[Mapping[SourceTransition, SourceState]] = {
    "waiting": "waiting",
    "lost": "lost",
    "back": "heard",
    "paused": "paused",
    "resumed": "heard",
}


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """Where one source stands.

    Attributes:
        hearing: Whether it is heard, and if not, why.
        since: When that began.
        detail: The same as a sentence for people.
        hello: What it is; None before its first sound.
        faults: What is wrong with its sound.
        active: Its events that last, by id.
        events: How many have started, by class.
        gaps: How many there were.
        lost_s: How much sound they came to.
    """

    hearing: SourceState = "opening"
    since: str = ""
    detail: str = ""
    hello: HelloLine | None = None
    faults: tuple[str, ...] = ()
    active: tuple[EventLine, ...] = ()
    events: Mapping[str, int] = field(default_factory=dict)
    gaps: int = 0
    lost_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """Where everything stands.

    Attributes:
        sources: Each source, by name.
        overload: The machine's last word on whether it keeps up; None before the first.
        journal: The journal's last word on whether it can be written; None before the first.
    """

    sources: Mapping[str, SourceStatus] = field(default_factory=dict)
    overload: OverloadLine | None = None
    journal: JournalHealthLine | None = None


class StatusTracker:
    """The latest board, for any thread to look at.

    Args:
        names: The sources that there are.
    """

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self.board = StatusSnapshot({name: SourceStatus() for name in names})
        self._lock = threading.Lock()  # lines come from the engine's thread, from the journal's, and from that of clips

    def read(self, line: Line) -> None:
        """Take account of one line."""
        with self._lock:
            self.board = apply_line(self.board, line)


def apply_line(board: StatusSnapshot, line: Line) -> StatusSnapshot:
    """The board after one more line."""
    if isinstance(line, OverloadLine):
        return replace(board, overload=line)
    if isinstance(line, JournalHealthLine):
        return replace(board, journal=line)
    if isinstance(line, ReloadLine | ProviderLine):
        return board
    source = _of_source(board.sources.get(line.source, SourceStatus()), line)
    return replace(board, sources={**board.sources, line.source: source})


def _of_source(source: SourceStatus, line: Line) -> SourceStatus:
    match line:
        case HelloLine():
            return replace(source, hearing="heard", since=line.time, detail="", hello=line, active=())
        case EventLine():
            return _of_event(source, line)
        case GapLine():
            return replace(source, gaps=source.gaps + 1, lost_s=source.lost_s + line.duration_s)
        case SourceHealthLine():
            return replace(source, hearing=_HEARING[line.state], since=line.time, detail=line.detail)
        case QualityLine():
            return replace(source, faults=line.faults)
        case StatsLine() if line.final:
            return replace(source, hearing="ended", since=line.time)
        case _:
            return source


def _of_event(source: SourceStatus, line: EventLine) -> SourceStatus:
    others = tuple(each for each in source.active if each.id != line.id)
    events = source.events
    if line.type == "start":
        events = {**events, line.class_: events.get(line.class_, 0) + 1}
    return replace(source, active=others if line.type == "end" else (*others, line), events=events)
