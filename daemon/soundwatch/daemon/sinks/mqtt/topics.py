"""What MQTT topics are called, and what each is to say just now.

Conventions: `soundwatch/<node>/<source>/...`, a topic for each class, since one that several share resets the others in
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

from soundwatch.daemon.core.clock import format_utc
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.types import WindowResult
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.status.snapshot import StatusSnapshot

ROOT: Final = "soundwatch"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one machine.

    Attributes:
        node: Its name.
    """

    node: str

    @property
    def base(self) -> str:
        """What all begin with."""
        return f"{ROOT}/{topic_segment(self.node)}"

    @property
    def status(self) -> str:
        """Whether soundwatch runs: online, stopped, or offline where it was killed or cut off."""
        return f"{self.base}/status"

    def source_status(self, source: str) -> str:
        """Whether a source is heard: opening, waiting, heard, lost, paused or ended."""
        return f"{self.base}/{topic_segment(source)}/status"

    def class_state(self, source: str, class_: str) -> str:
        """Whether a class is heard there: ON or OFF."""
        return f"{self.base}/{topic_segment(source)}/class/{topic_segment(class_)}"

    def event(self, source: str) -> str:
        """The lines `start`, `update` and `end`."""
        return f"{self.base}/{topic_segment(source)}/event"

    def level(self, source: str) -> str:
        """How loud it is."""
        return f"{self.base}/{topic_segment(source)}/level"

    def lines(self, journal: str) -> str:
        """Every line of a journal, for a fleet."""
        return f"{self.base}/lines/{journal}"

    @property
    def report(self) -> str:
        """How the machine does, for a fleet."""
        return f"{self.base}/report"

    @property
    def again(self) -> str:
        """Where a fleet asks for lines that it lacks."""
        return f"{self.base}/again"

    @property
    def again_done(self) -> str:
        """What has come of that."""
        return f"{self.base}/again/done"

    def set(self, source: str) -> str:
        """Where ON and OFF resume and pause it."""
        return f"{self.base}/{topic_segment(source)}/set"


class _Head(msgspec.Struct):
    """What of a line says where it goes."""

    type: str
    source: str | None = None


def topic_segment(name: str) -> str:
    """A name as a part of a topic."""
    return re.sub(r"[^\w.-]", "_", name) or "_"


def check_names(kind: str, names: Sequence[str]) -> None:
    """Refuse names that would share topics.

    Raises:
        ConfigError: Two do.
    """
    for one, other in combinations(names, 2):
        if topic_segment(one) == topic_segment(other):
            raise ConfigError(
                f"The {kind} {one} and {other} would share MQTT topics ({topic_segment(one)}); rename one of them."
            )


def retained_states(board: StatusSnapshot, topics: Topics, classes: Sequence[str]) -> dict[str, bytes]:
    """What every topic that keeps its last word is to say."""
    said = {topics.status: b"online"}
    for name, source in board.sources.items():
        said[topics.source_status(name)] = source.hearing.encode()
        heard = {event.class_ for event in source.active}
        said |= {topics.class_state(name, class_): b"ON" if class_ in heard else b"OFF" for class_ in classes}
    return said


def event_payload(entry: JournalEntry) -> tuple[str, bytes] | None:
    """Of an event's line, its source and the line with `event_type`, which Home Assistant wants; None of others."""
    head = msgspec.json.decode(entry.line, type=_Head)
    if head.source is None or head.type not in ("start", "update", "end"):
        return None
    return head.source, entry.marked[:-2] + f',"event_type":"{head.type}"}}'.encode()


def level_payload(reading: WindowResult) -> bytes:
    """How loud a window was."""
    level_dbfs = None if reading.level_dbfs is None else round(reading.level_dbfs, 1)
    return msgspec.json.encode({"time": format_utc(reading.end_unix_ns), "level_dbfs": level_dbfs})
