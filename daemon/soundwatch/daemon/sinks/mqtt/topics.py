"""Names of the MQTT topics, and the payloads of the retained ones.

Conventions: `soundwatch/<node>/<source>/...`, a topic for each class, since a shared topic resets the other classes in
Home Assistant. In names all but letters, digits, `_`, `.` and `-` becomes `_`.
Does not: publish (`sinks/mqtt/sink.py`), or describe them to Home Assistant (`sinks/mqtt/home_assistant.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.events.level_schema import LevelLine
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.daemon_view import ControlState
from soundwatch.daemon.status.snapshot import StatusSnapshot

ROOT: Final = "soundwatch"
SCHEDULES: Final = "schedules"  # no source may have this name where schedules have topics


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one machine.

    Attributes:
        node: Name of the machine.
    """

    node: str

    @property
    def base(self) -> str:
        """Common start of all topics."""
        return f"{ROOT}/{topic_segment(self.node)}"

    @property
    def status(self) -> str:
        """State of soundwatch: online, stopped, or offline if it was killed or cut off."""
        return f"{self.base}/status"

    def source_status(self, source: str) -> str:
        """State of a source: opening, waiting, heard, lost, paused or ended."""
        return f"{self.base}/{topic_segment(source)}/status"

    def class_state(self, source: str, class_: str) -> str:
        """State of a class: ON or OFF."""
        return f"{self.base}/{topic_segment(source)}/class/{topic_segment(class_)}"

    def event(self, source: str) -> str:
        """The lines `start`, `update` and `end`."""
        return f"{self.base}/{topic_segment(source)}/event"

    def clip(self, source: str) -> str:
        """Link to the clip of an event."""
        return f"{self.base}/{topic_segment(source)}/clip"

    def picture(self, source: str) -> str:
        """Spectrogram of the clip of an event, as a PNG file."""
        return f"{self.base}/{topic_segment(source)}/picture"

    def level(self, source: str) -> str:
        """Level of a source."""
        return f"{self.base}/{topic_segment(source)}/level"

    def lines(self, journal: str) -> str:
        """Every line of a journal, for a fleet."""
        return f"{self.base}/lines/{journal}"

    @property
    def report(self) -> str:
        """Report of the machine, for a fleet."""
        return f"{self.base}/report"

    @property
    def resend(self) -> tuple[str, str]:
        """Requests of a fleet for lines; the second is the former name, accepted until version 0.2."""
        return f"{self.base}/resend", f"{self.base}/again"

    @property
    def owner(self) -> str:
        """Machine that uses this name now."""
        return f"{self.base}/owner"

    @property
    def claim(self) -> str:
        """Question of a machine that starts, whether its name is free."""
        return f"{self.base}/claim"

    def set(self, source: str) -> str:
        """Commands ON and OFF, which resume and pause a source."""
        return f"{self.base}/{topic_segment(source)}/set"

    def offset(self, source: str) -> str:
        """Offset of the thresholds of a source."""
        return f"{self.base}/{topic_segment(source)}/threshold_offset"

    def schedule(self, name: str) -> str:
        """State of a schedule: ON where it is enabled."""
        return f"{self.base}/{SCHEDULES}/{topic_segment(name)}/enabled"

    def schedule_active(self, name: str) -> str:
        """Effect of a schedule: ON in its windows."""
        return f"{self.base}/{SCHEDULES}/{topic_segment(name)}/active"


class _LineHeader(msgspec.Struct):
    """Fields of a line that choose its topic."""

    type: str
    source: str | None = None


def topic_segment(name: str) -> str:
    """Return a name as a part of a topic."""
    return re.sub(r"[^\w.-]", "_", name) or "_"


def check_names(kind: str, names: Sequence[str]) -> None:
    """Refuse names that would share topics.

    Raises:
        ConfigError: Two names would share topics.
    """
    for one, other in combinations(names, 2):
        if topic_segment(one) == topic_segment(other):
            raise ConfigError(
                f"The {kind} {one} and {other} would share MQTT topics ({topic_segment(one)}); rename one of them."
            )


def retained_states(snapshot: StatusSnapshot, topics: Topics, classes: Sequence[str]) -> dict[str, bytes]:
    """Return the payload of every retained topic of states."""
    payloads = {topics.status: b"online"}
    for name, source in snapshot.sources.items():
        payloads[topics.source_status(name)] = source.state.encode()
        active = {event.class_ for event in source.active}
        payloads |= {topics.class_state(name, class_): b"ON" if class_ in active else b"OFF" for class_ in classes}
    return payloads


def control_states(state: ControlState, topics: Topics) -> dict[str, bytes]:
    """Return the payload of every retained topic of offsets and schedules."""
    payloads = {topics.offset(source): f"{offset:g}".encode() for source, offset in state.offsets.items()}
    for name, schedule in state.schedules.items():
        payloads[topics.schedule(name)] = b"ON" if schedule.enabled else b"OFF"
        payloads[topics.schedule_active(name)] = b"ON" if schedule.active else b"OFF"
    return payloads


def event_payload(entry: JournalEntry) -> tuple[str, bytes] | None:
    """Return source and payload of an event's line, with `event_type` for Home Assistant; None for other lines."""
    head = msgspec.json.decode(entry.line, type=_LineHeader)
    if head.source is None or head.type not in ("start", "update", "end"):
        return None
    return head.source, entry.encoded[:-2] + f',"event_type":"{head.type}"}}'.encode()


def level_payload(result: WindowResult, level: LevelLine | None) -> bytes:
    """Return the payload of a level: of a window, and of the latest second where the sound level meter is on."""
    level_dbfs = None if result.level_dbfs is None else round(result.level_dbfs, 1)
    fields: dict[str, str | float | bool | None] = {"time": format_utc(result.end_unix_ns), "level_dbfs": level_dbfs}
    if level is not None:
        fields |= {"laeq_db": level.laeq_db, "lceq_db": level.lceq_db, "lafmax_db": level.lafmax_db}
        fields["calibrated"] = level.calibrated
    return msgspec.json.encode(fields)
