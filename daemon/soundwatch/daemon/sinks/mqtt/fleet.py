"""What a machine tells a fleet over MQTT: every line of its journal, how it does, and lines that got lost once more.

Conventions: lines go to a topic that names the journal, so that a number means one line for ever. A fleet that sees a
hole in them asks with an `ResendRequest`; the answer is those lines, marked as repeated, as far as the journal still
has them, and then a `ResendReply` that says which these were. What gets lost again on the way is so known from what is
no more.
Rule: a request is answered with `MOST_LINES` at most, so that nobody can keep a machine busy with one; whoever needs
more asks again from where `ResendReply` says.
Does not: publish (`sinks/mqtt/sink.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final

import msgspec

from soundwatch.daemon.core.seq_ranges import SeqRanges, add_range
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.context import SinkContext
from soundwatch.daemon.sinks.mqtt.connection import MqttMessage
from soundwatch.daemon.sinks.mqtt.node_report import Seq, build_report
from soundwatch.daemon.sinks.mqtt.topics import Topics

MOST_LINES: Final = 200


Run = tuple[Seq, Seq]  # numbers without a hole, both ends included


class ResendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a fleet asks for.

    Attributes:
        journal: Whose numbers are meant.
        after: Lines after this one,
        up_to: and up to this one.
    """

    journal: str
    after: Seq
    up_to: Seq


class ResendReply(msgspec.Struct, frozen=True):
    """What the journal has of that, all of it sent just now.

    Attributes:
        journal: Whose numbers are meant.
        after: As it was asked,
        up_to: and up to where this is answered.
        runs: The numbers between the two that there are.
    """

    journal: str
    after: Seq
    up_to: Seq
    runs: Annotated[tuple[Run, ...], msgspec.Meta(max_length=MOST_LINES)]


def line_messages(topics: Topics, around: SinkContext, entries: Sequence[JournalEntry]) -> list[MqttMessage]:
    """Lines as a fleet gets them."""
    topic = topics.lines(around.journal)
    return [MqttMessage(topic, entry.marked[:-1]) for entry in entries]


def report_payload(around: SinkContext, sent_seq: int | None, report_s: float) -> bytes:
    """How this machine does now."""
    return msgspec.json.encode(build_report(around, sent_seq, report_s, time.time_ns()))


def resend_answer(topics: Topics, around: SinkContext, payload: bytes) -> list[MqttMessage]:
    """The lines that a fleet asks for, as many as it gets at once, and up to where these are all that there are.

    Raises:
        msgspec.MsgspecError: It asks for something else.
    """
    again = msgspec.json.decode(payload, type=ResendRequest)
    found = around.after(again.after, MOST_LINES) if again.journal == around.journal else []
    entries = [replace(entry, repeated=True) for entry in found if entry.seq <= again.up_to]
    more = len(found) == MOST_LINES == len(entries)
    up_to = entries[-1].seq if more else again.up_to
    runs: SeqRanges = ()
    for entry in entries:
        runs = add_range(runs, entry.seq, entry.seq)
    done = ResendReply(again.journal, again.after, up_to, runs)
    return [*line_messages(topics, around, entries), MqttMessage(topics.again_done, msgspec.json.encode(done))]
