"""State of the sources, folded from the lines: a reducer that the page, MQTT and the metrics share.

Conventions: one line in, the next state out. States are frozen, so any thread may read the latest. Times are those of
the lines.
Does not: know windows or levels (`live.py`), or sinks (`sinks/worker.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from soundwatch.daemon.core.records.source import SourceState, state_after
from soundwatch.daemon.events.health_schema import (
    ControlLine,
    JournalHealthLine,
    MuteLine,
    OverloadLine,
    ProviderLine,
    QualityLine,
    ReloadLine,
    SinkLine,
    SourceHealthLine,
)
from soundwatch.daemon.events.level_schema import LevelPeriodLine
from soundwatch.daemon.events.schema import ClipLine, ClipRefusal, EventLine, GapLine, HelloLine, Line, StatsLine


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """State of one source.

    Attributes:
        state: State of the source; `paused` from a pause until the source is resumed or ends.
        since: Start of the state.
        detail: Explanation for people.
        hello: The line `hello` of the stream; None before the first sound.
        faults: Faults of the sound.
        active: Last line of each event that has no end yet.
        events: Number of events that started, by class.
        gaps: Number of gaps.
        lost_s: Sound missing in all gaps.
        unpaused_state: State apart from a pause.
        lost_clip: Reason why the last clip could not be written; None once one is written.
    """

    state: SourceState = "opening"
    since: str = ""
    detail: str = ""
    hello: HelloLine | None = None
    faults: tuple[str, ...] = ()
    active: tuple[EventLine, ...] = ()
    events: Mapping[str, int] = field(default_factory=dict)
    gaps: int = 0
    lost_s: float = 0.0
    unpaused_state: SourceState = "opening"
    lost_clip: ClipRefusal | None = None


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """State of the daemon.

    Attributes:
        sources: State of each source, by name.
        overload: Last line about overload; None before the first.
        journal: Last line about the journal; None before the first.
    """

    sources: Mapping[str, SourceStatus] = field(default_factory=dict)
    overload: OverloadLine | None = None
    journal: JournalHealthLine | None = None


class StatusTracker:
    """The latest snapshot, for any thread to read.

    Args:
        names: Names of the sources.
    """

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self.snapshot = StatusSnapshot({name: SourceStatus() for name in names})
        self._lock = threading.Lock()  # lines come from the engine's thread, from the journal's, and from that of clips

    def apply(self, line: Line) -> None:
        """Fold one line into the snapshot."""
        with self._lock:
            self.snapshot = apply_line(self.snapshot, line)


def apply_line(snapshot: StatusSnapshot, line: Line) -> StatusSnapshot:
    """Return the snapshot after one more line."""
    if isinstance(line, OverloadLine):
        return replace(snapshot, overload=line)
    if isinstance(line, JournalHealthLine):
        return replace(snapshot, journal=line)
    if isinstance(line, ReloadLine | ProviderLine | ControlLine | MuteLine | SinkLine | LevelPeriodLine):
        return snapshot
    source = _of_source(snapshot.sources.get(line.source, SourceStatus()), line)
    return replace(snapshot, sources={**snapshot.sources, line.source: source})


def _of_source(source: SourceStatus, line: Line) -> SourceStatus:
    match line:
        case HelloLine():
            return replace(_of_state(source, "heard", line.time, ""), hello=line, active=())
        case EventLine():
            return _of_event(source, line)
        case GapLine():
            return replace(source, gaps=source.gaps + 1, lost_s=source.lost_s + line.duration_s)
        case ClipLine() if line.reason != "speech":  # that one was not to be written
            return replace(source, lost_clip=line.reason)
        case SourceHealthLine():
            return _of_transition(source, line)
        case QualityLine():
            return replace(source, faults=line.faults)
        case StatsLine() if line.final:
            return replace(source, state="ended", unpaused_state="ended", since=line.time)
        case _:
            return source


def _of_transition(source: SourceStatus, line: SourceHealthLine) -> SourceStatus:
    if line.state == "paused":
        return replace(source, state="paused", since=line.time, detail=line.detail)
    if line.state == "resumed":
        return replace(source, state=source.unpaused_state, since=line.time, detail=line.detail)
    return _of_state(source, state_after(line.state), line.time, line.detail)


def _of_state(source: SourceStatus, state: SourceState, time: str, detail: str) -> SourceStatus:
    if source.state == "paused":
        return replace(source, unpaused_state=state)
    return replace(source, state=state, unpaused_state=state, since=time, detail=detail)


def _of_event(source: SourceStatus, line: EventLine) -> SourceStatus:
    others = tuple(event for event in source.active if event.id != line.id)
    events = source.events
    if line.type == "start":
        events = {**events, line.class_: events.get(line.class_, 0) + 1}
    return replace(source, active=others if line.type == "end" else (*others, line), events=events)
