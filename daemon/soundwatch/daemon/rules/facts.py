"""Facts of one line that rules decide on.

Conventions: times are integers, nanoseconds since 1970 in UTC, of the line. A line that no rule can match has no facts.
Does not: decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from soundwatch.daemon.config.rules import Fault
from soundwatch.daemon.core.time.clock import SECOND_NS, format_utc, parse_utc
from soundwatch.daemon.events.line_head import SCHEMA
from soundwatch.daemon.journal.entry import JournalEntry

RULE_LINES: Final = ("start", "update", "end", "clip", "health", "gap", "stats")  # stats: for the time alone
HEALTH_FAULTS: Final[Mapping[tuple[str | None, str | None], Fault]] = {
    ("overload", "degraded"): "overload",
    ("overload", "recovered"): "overload_ended",
    ("journal", "failing"): "journal_failing",
    ("journal", "working"): "journal_working",
    ("sink", "failing"): "sink_failing",
    ("sink", "gone"): "sink_failing",
    ("sink", "working"): "sink_working",
    ("configuration", "refused"): "reload_refused",
    ("provider", "changed"): "provider_changed",
}
SOURCE_FAULTS: Final[Mapping[str, Fault]] = {
    "lost": "source_lost",
    "back": "source_back",
    "waiting": "source_waiting",
    "poor": "audio_poor",
    "good": "audio_good",
}


class _Line(msgspec.Struct, rename={"class_": "class"}):
    """Keys of a line that rules read."""

    type: str
    time: str
    source: str | None = None
    id: str | None = None
    class_: str | None = None
    peak_score: float | None = None
    level_dbfs: float | None = None
    level_dba: float | None = None
    onset: str | None = None
    duration_s: float | None = None
    continues: str | None = None
    also: dict[str, float] = {}
    rules: tuple[str, ...] = ()
    sink: str | None = None
    state: str | None = None
    reason: str | None = None
    path: str | None = None


class _TimedLine(msgspec.Struct):
    """Type and time of a line."""

    type: str
    time: str


@dataclass(frozen=True, slots=True)
class LineFacts:
    """Facts of a line.

    Attributes:
        seq: Number of the line.
        kind: event, ended (its last line), clip, fault, muted (a change of muted rules), or digest.
        unix_ns: Time of the line.
        source: Name of the source; None for a line about the machine.
        id: Id of the event.
        class_: Class of the event.
        score: Highest score of the event so far.
        level_dbfs: Level.
        level_dba: A-weighted level, dB where the source is calibrated, else dBFS; None without the meter.
        duration_s: Duration of the event so far.
        continues: Id of the event that this one continues.
        tags: Scores of tags.
        fault: The fault.
        clip_path: Path of the clip; None if it was not written.
        muted_rules: Names of the rules that are muted from this line on.
        sink: Name of the sink that the fault is about.
    """

    seq: int
    kind: Literal["event", "ended", "clip", "fault", "muted", "digest"]
    unix_ns: int
    source: str | None = None
    id: str | None = None
    class_: str | None = None
    score: float | None = None
    level_dbfs: float | None = None
    level_dba: float | None = None
    duration_s: float | None = None
    continues: str | None = None
    tags: Mapping[str, float] = field(default_factory=dict)
    fault: Fault | None = None
    clip_path: str | None = None
    muted_rules: tuple[str, ...] = ()
    sink: str | None = None

    @property
    def line(self) -> bytes:
        """A line of what is known, for a message whose line the journal has dropped."""
        known = {"schema": SCHEMA, "type": "start", "seq": self.seq, "time": format_utc(self.unix_ns), "id": self.id}
        known |= {"node": None, "source": self.source, "class": self.class_, "score": self.score}
        return msgspec.json.encode(known) + b"\n"


def read_facts(entry: JournalEntry) -> LineFacts | None:
    """Return the facts of a line; None if no rule can match the line, or the line is damaged."""
    try:
        line = _DECODER.decode(entry.line)
        unix_ns = parse_utc(line.time)
        if line.type in ("start", "update", "end"):
            return _event_facts(entry.seq, line, unix_ns)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return None
    if line.type == "clip":
        return LineFacts(entry.seq, "clip", unix_ns, line.source, line.id, line.class_, clip_path=line.path)
    if line.type == "health" and line.reason == "rules":
        return LineFacts(entry.seq, "muted", unix_ns, muted_rules=line.rules)
    fault = _fault(line)
    return None if fault is None else LineFacts(entry.seq, "fault", unix_ns, line.source, fault=fault, sink=line.sink)


def read_time(entry: JournalEntry) -> int | None:
    """Return the time of a line in nanoseconds since 1970; None if rules do not read the line, or it is damaged."""
    try:
        line = _TIME_DECODER.decode(entry.line)
        return parse_utc(line.time) if line.type in RULE_LINES else None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return None


_DECODER: Final = msgspec.json.Decoder(_Line)
_TIME_DECODER: Final = msgspec.json.Decoder(_TimedLine)


def _event_facts(seq: int, line: _Line, unix_ns: int) -> LineFacts:
    duration_s = line.duration_s
    if duration_s is None and line.onset is not None:
        duration_s = (unix_ns - parse_utc(line.onset)) / SECOND_NS
    return LineFacts(
        seq,
        "ended" if line.type == "end" else "event",
        unix_ns,
        line.source,
        line.id,
        line.class_,
        line.peak_score,
        line.level_dbfs,
        line.level_dba,
        duration_s,
        line.continues,
        line.also,
    )


def _fault(line: _Line) -> Fault | None:
    if line.type == "gap":
        return "gap"
    if line.type != "health":
        return None
    return HEALTH_FAULTS.get((line.reason, line.state)) or (
        None if line.source is None else SOURCE_FAULTS.get(line.state or "")
    )
