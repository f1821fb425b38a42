"""What machines say, read with care: anybody who may publish at the broker could have said it.

Conventions: machines may run later releases, so unknown types of lines and unknown keys pass. A line's `"repeated"`
mark is of its way here and not kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import msgspec

from soundwatch.daemon.sinks.mqtt.connection import MqttMessage
from soundwatch.daemon.sinks.mqtt.fleet import ResendReply
from soundwatch.daemon.sinks.mqtt.node_report import MAX_SEQ, NodeReport, SafeText
from soundwatch.daemon.sinks.mqtt.topics import ROOT, topic_segment

TOPICS: Final = (f"{ROOT}/+/status", f"{ROOT}/+/report", f"{ROOT}/+/again/done", f"{ROOT}/+/lines/+")
MOST_BYTES: Final = 65_536
MOST_NAME: Final = 200
FIRST_YEAR, LAST_YEAR = 1970, 2200
STATUSES: Final = ("online", "stopped", "offline")
_MARK: Final = b',"repeated":true}'
_JOURNAL: Final = re.compile(r"[0-9a-f]{1,64}")

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Number = Annotated[int, msgspec.Meta(ge=1, lt=MAX_SEQ)]


class LineHeader(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """What of a line the fleet looks at; None where the line has no such key.

    Attributes:
        seq: Its number.
        time: As in `events/schema.py`, and so are all others.
        type: See there.
        node: See there; what it is for topics has to be where it was said.
        source: See there.
        class_: See there.
        id: See there.
        score: See there.
        level_dbfs: See there.
        duration_s: See there.
        model: See there.
    """

    seq: Number
    time: Moment
    type: SafeText
    node: SafeText
    source: SafeText | None = None
    class_: SafeText | None = None
    id: SafeText | None = None
    score: float | None = None
    level_dbfs: float | None = None
    duration_s: float | None = None
    model: SafeText | None = None


@dataclass(frozen=True, slots=True)
class LineMessage:
    """A line of a machine's journal.

    Attributes:
        node: The machine.
        journal: What tells its numbers from another journal's.
        told: What the line says.
        line: It, without its end and without the mark of a repetition.
        repeated: Whether it had that mark.
    """

    node: str
    journal: str
    told: LineHeader
    line: str
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class StatusMessage:
    """Whether soundwatch runs on a machine: online, stopped, or offline where it was killed or cut off.

    Attributes:
        node: The machine.
        status: One of `STATUSES`.
        heard_unix_ns: When that was heard.
        retained: Whether it is from an earlier time.
    """

    node: str
    status: str
    heard_unix_ns: int
    retained: bool


@dataclass(frozen=True, slots=True)
class ReportMessage:
    """How a machine does.

    Attributes:
        node: The machine.
        report: Its report.
        sent_unix_ns: When it was sent, by the machine's clock.
        heard_unix_ns: When it was heard, by ours.
        retained: Whether it is from an earlier time.
    """

    node: str
    report: NodeReport
    sent_unix_ns: int
    heard_unix_ns: int
    retained: bool


@dataclass(frozen=True, slots=True)
class ResendReplyMessage:
    """A machine has answered a request for lines.

    Attributes:
        node: The machine.
        done: What has been answered.
    """

    node: str
    done: ResendReply


FleetMessage = LineMessage | StatusMessage | ReportMessage | ResendReplyMessage


def parse_message(message: MqttMessage) -> FleetMessage:
    """What a message says.

    Raises:
        ValueError: It is none of ours; the reason is its text.
    """
    parts = message.topic.split("/")
    if len(parts) < 3 or len(parts[1]) > MOST_NAME:
        raise ValueError(f"a machine's name has {MOST_NAME} letters at most")
    if len(message.payload) > MOST_BYTES:
        raise ValueError(f"{len(message.payload)} bytes are too many; at most {MOST_BYTES} are read")
    match parts[2:]:
        case ["status"]:
            status = message.payload.decode(errors="replace")
            if status not in STATUSES:
                raise ValueError(f"status {status[:40]!r} is none of {', '.join(STATUSES)}")
            return StatusMessage(parts[1], status, message.heard_unix_ns, message.retained)
        case ["report"]:
            report = _report(parts[1], message.payload)
            sent_unix_ns = datetime_unix_ns(report.time)
            return ReportMessage(parts[1], report, sent_unix_ns, message.heard_unix_ns, message.retained)
        case ["again", "done"]:
            return ResendReplyMessage(parts[1], msgspec.json.decode(message.payload, type=ResendReply))
        case ["lines", journal] if _JOURNAL.fullmatch(journal):
            return _line(parts[1], journal, message.payload)
    raise ValueError("no topic of a fleet")


def datetime_unix_ns(time: str) -> int:
    """A moment as lines and reports have it.

    Raises:
        ValueError: It is none, or has no zone.
    """
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        raise ValueError(f"{time} has no zone")
    _check_year(moment)
    return round(moment.timestamp() * 1000) * 1_000_000


def _check_year(moment: datetime) -> None:
    """Refuse what no clock of a machine says, and databases and time zones have no room for."""
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"the year {moment.year} is none of {FIRST_YEAR} to {LAST_YEAR}")


def _check_name(node: str, name: str) -> None:
    """Refuse what is said in another machine's name."""
    if topic_segment(name) != node:
        raise ValueError(f"{name[:40]} says it where {node} would")


def _report(node: str, payload: bytes) -> NodeReport:
    report = msgspec.json.decode(payload, type=NodeReport)
    _check_name(node, report.node)
    if not _JOURNAL.fullmatch(report.journal):
        raise ValueError("journal is no identity of one")
    return report


def _line(node: str, journal: str, payload: bytes) -> LineMessage:
    repeated = payload.endswith(_MARK)
    if repeated:
        payload = payload[: -len(_MARK)] + b"}"
    if b"\n" in payload or b"\r" in payload:
        raise ValueError("a line is one line")
    told = msgspec.json.decode(payload, type=LineHeader)
    _check_name(node, told.node)
    _check_year(told.time)
    return LineMessage(node, journal, told, payload.decode(), repeated)
