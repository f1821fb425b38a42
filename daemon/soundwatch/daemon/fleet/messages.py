"""Receives, parses and validates the messages of nodes. They are untrusted: any client of the broker can publish them.

Conventions: nodes may run later releases, so unknown types of lines and unknown keys are accepted. The mark
`"repeated"` of a line is removed.
"""

from __future__ import annotations

import queue
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import msgspec

from soundwatch.daemon.sinks.mqtt.connection import MqttConnection, MqttMessage
from soundwatch.daemon.sinks.mqtt.fleet import ResendReply
from soundwatch.daemon.sinks.mqtt.node_report import MAX_SEQ, SAFE_PATTERN, NodeReport, SafeText
from soundwatch.daemon.sinks.mqtt.topics import ROOT, topic_segment

TOPICS: Final = (
    f"{ROOT}/+/status",
    f"{ROOT}/+/report",
    f"{ROOT}/+/resend/done",
    f"{ROOT}/+/again/done",
    f"{ROOT}/+/lines/+",
)
MAX_BYTES: Final = 65_536
MAX_NAME_LENGTH: Final = 200
FIRST_YEAR, LAST_YEAR = 1970, 2200
STATUSES: Final = ("online", "stopped", "offline")
_MARK: Final = b',"repeated":true}'
_JOURNAL: Final = re.compile(r"[0-9a-f]{1,64}")

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
IndexedText = Annotated[str, msgspec.Meta(max_length=MAX_NAME_LENGTH, pattern=SAFE_PATTERN)]  # fits PostgreSQL's index
Number = Annotated[int, msgspec.Meta(ge=1, lt=MAX_SEQ)]


class LineHeader(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Keys of a line that the fleet uses, with the meanings of `events/schema.py`; None for a missing key.

    Attributes:
        seq: Number of the line.
        time: Time of the line.
        type: Type of the line.
        node: Name of the node; its topic segment must equal the one of the message.
        source: Name of the source.
        class_: Class of the event.
        id: Id of the event.
        score: Score of the event.
        level_dbfs: Level of the event.
        duration_s: Duration of the event.
        model: Name and hash of the model.
    """

    seq: Number
    time: Moment
    type: SafeText
    node: SafeText
    source: SafeText | None = None
    class_: IndexedText | None = None
    id: SafeText | None = None
    score: float | None = None
    level_dbfs: float | None = None
    duration_s: float | None = None
    model: SafeText | None = None


@dataclass(frozen=True, slots=True)
class LineMessage:
    """A line of a node's journal.

    Attributes:
        node: Name of the node in topics.
        journal: Identity of the journal.
        header: Keys of the line.
        line: JSON text without newline and without the mark of a repetition.
        repeated: The line had that mark.
    """

    node: str
    journal: str
    header: LineHeader
    line: str
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class StatusMessage:
    """Status of a node: online, stopped, or offline after a crash or a loss of the connection.

    Attributes:
        node: Name of the node in topics.
        status: One of `STATUSES`.
        received_unix_ns: Time of reception.
        retained: The message was published before the subscription.
    """

    node: str
    status: str
    received_unix_ns: int
    retained: bool


@dataclass(frozen=True, slots=True)
class ReportMessage:
    """Report of a node.

    Attributes:
        node: Name of the node in topics.
        report: The report.
        sent_unix_ns: Time of sending by the node's clock.
        received_unix_ns: Time of reception by this machine's clock.
        retained: The message was published before the subscription.
    """

    node: str
    report: NodeReport
    sent_unix_ns: int
    received_unix_ns: int
    retained: bool


@dataclass(frozen=True, slots=True)
class ResendReplyMessage:
    """End of a node's answer to a request for lines.

    Attributes:
        node: Name of the node in topics.
        reply: Range that was answered.
    """

    node: str
    reply: ResendReply


FleetMessage = LineMessage | StatusMessage | ReportMessage | ResendReplyMessage


def parse_message(message: MqttMessage) -> FleetMessage:
    """Parse a message.

    Raises:
        ValueError: The message is invalid; the text is the reason.
    """
    parts = message.topic.split("/")
    if len(parts) < 3 or len(parts[1]) > MAX_NAME_LENGTH:
        raise ValueError(f"the name of a node has at most {MAX_NAME_LENGTH} characters")
    if len(message.payload) > MAX_BYTES:
        raise ValueError(f"the message has {len(message.payload)} bytes; at most {MAX_BYTES} are accepted")
    match parts[2:]:
        case ["status"]:
            status = message.payload.decode(errors="replace")
            if status not in STATUSES:
                raise ValueError(f"status {status[:40]!r} is not one of {', '.join(STATUSES)}")
            return StatusMessage(parts[1], status, message.received_unix_ns, message.retained)
        case ["report"]:
            report = _report(parts[1], message.payload)
            sent_unix_ns = datetime_unix_ns(report.time)
            return ReportMessage(parts[1], report, sent_unix_ns, message.received_unix_ns, message.retained)
        case ["resend" | "again", "done"]:  # the second is the former name, accepted until version 0.2
            return ResendReplyMessage(parts[1], msgspec.json.decode(message.payload, type=ResendReply))
        case ["lines", journal] if _JOURNAL.fullmatch(journal):
            return _line(parts[1], journal, message.payload)
    raise ValueError("the topic is unknown")


def datetime_unix_ns(time: str) -> int:
    """Parse the time of a report.

    Raises:
        ValueError: The text is not a time, or has no zone.
    """
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        raise ValueError(f"{time} has no zone")
    _check_year(moment)
    return round(moment.timestamp() * 1000) * 1_000_000


def _check_year(moment: datetime) -> None:
    """Check that a database and a time zone can represent the year."""
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"the year {moment.year} is not in {FIRST_YEAR} to {LAST_YEAR}")


def _check_name(node: str, name: str) -> None:
    """Check that the name in a payload is the node of the topic."""
    if topic_segment(name) != node:
        raise ValueError(f"the payload names {name[:40]}, the topic {node}")


def _report(node: str, payload: bytes) -> NodeReport:
    report = msgspec.json.decode(payload, type=NodeReport)
    _check_name(node, report.node)
    if not _JOURNAL.fullmatch(report.journal):
        raise ValueError("journal is not an identity of a journal")
    return report


def _line(node: str, journal: str, payload: bytes) -> LineMessage:
    repeated = payload.endswith(_MARK)
    if repeated:
        payload = payload[: -len(_MARK)] + b"}"
    if b"\n" in payload or b"\r" in payload:
        raise ValueError("a line contains a newline")
    header = msgspec.json.decode(payload, type=LineHeader)
    _check_name(node, header.node)
    _check_year(header.time)
    return LineMessage(node, journal, header, payload.decode(), repeated)


def receive_batch(connection: MqttConnection, limit: int, wait_s: float) -> list[MqttMessage]:
    """Return the messages that have arrived, at most `limit`; wait for the first one up to `wait_s`."""
    messages: list[MqttMessage] = []
    try:
        message = connection.received.get(timeout=wait_s)
        while True:
            if message is not None:
                messages.append(message)
            if len(messages) >= limit:
                return messages
            message = connection.received.get_nowait()
    except queue.Empty:
        return messages
