"""Messages of a machine to a fleet: every line of the journal, a report, and lost lines on request.

Conventions: the topic of the lines names the journal, so a number always means one line. A fleet that misses lines
sends a `ResendRequest`. The answer is the lines that the journal still has, marked as repeated, and then a
`ResendReply` with their numbers. So the fleet can tell lines that were lost on the way from lines that no longer
exist.
Rule: a request is answered with `MAX_LINES` lines at most, so that one request cannot keep a machine busy; the fleet
continues from the number in `ResendReply`.
Does not: publish (`sinks/mqtt/sink.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final

import msgspec

from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.journal.seq_ranges import SeqRanges, add_range
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.mqtt.connection import MqttMessage
from soundwatch.daemon.sinks.mqtt.node_report import Seq, build_report
from soundwatch.daemon.sinks.mqtt.topics import Topics

MAX_LINES: Final = 200

Run = tuple[Seq, Seq]  # numbers without a hole, both ends included


class ResendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for lines.

    Attributes:
        journal: Journal of the numbers.
        after: Number before the first line.
        up_to: Number of the last line.
    """

    journal: str
    after: Seq
    up_to: Seq


class ResendReply(msgspec.Struct, frozen=True):
    """The lines of a request that the journal has, sent just before.

    Attributes:
        journal: Journal of the numbers.
        after: Number before the first line, as requested.
        up_to: Number up to which the request is answered.
        runs: Numbers between the two that exist.
    """

    journal: str
    after: Seq
    up_to: Seq
    runs: Annotated[tuple[Run, ...], msgspec.Meta(max_length=MAX_LINES)]


def line_messages(topics: Topics, journal_id: str, entries: Sequence[JournalEntry]) -> list[MqttMessage]:
    """Return lines as messages to a fleet."""
    topic = topics.lines(journal_id)
    return [MqttMessage(topic, entry.encoded[:-1]) for entry in entries]


def report_payload(view: DaemonView, sent_seq: int | None, report_s: float) -> bytes:
    """Return the report of this machine."""
    return msgspec.json.encode(build_report(view, sent_seq, report_s, time.time_ns()))


def resend_answer(topics: Topics, view: DaemonView, request: MqttMessage) -> list[MqttMessage]:
    """Return the requested lines, `MAX_LINES` at most, and the reply.

    Raises:
        msgspec.MsgspecError: The request is malformed.
    """
    wanted = msgspec.json.decode(request.payload, type=ResendRequest)
    journal_id = view.journal.store.identity()
    found = view.journal.read_after(wanted.after, MAX_LINES) if wanted.journal == journal_id else []
    entries = [replace(entry, repeated=True) for entry in found if entry.seq <= wanted.up_to]
    more = len(found) == MAX_LINES == len(entries)
    up_to = entries[-1].seq if more else wanted.up_to
    runs: SeqRanges = ()
    for entry in entries:
        runs = add_range(runs, entry.seq, entry.seq)
    reply = ResendReply(wanted.journal, wanted.after, up_to, runs)
    return [
        *line_messages(topics, journal_id, entries),
        MqttMessage(f"{request.topic}/done", msgspec.json.encode(reply)),
    ]
