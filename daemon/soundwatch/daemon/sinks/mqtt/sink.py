"""Events and states to an MQTT 5 broker, and to Home Assistant by it.

Conventions: a line is taken when the broker has acknowledged it. States (online, ON, OFF, heard ...) are never
replayed: they come from the board as it stands, all of them on every connection, and within one those that change; of a
long absence only the `event` lines come late. What the broker still keeps of sources and classes that are no more
is emptied. One thread keeps the connection; it is made again after `FIRST_PAUSE_S`, each time twice as late.
Rule: a kept message under `.../set` is old and is not obeyed.
Source: the topics are those of `sinks/mqtt/topics.py`.
Does not: read options (`sinks/mqtt/options.py`), speak MQTT (`sinks/mqtt/connection.py`), or describe entities
(`sinks/mqtt/home_assistant.py`).
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from soundwatch.daemon.core.backoff import Backoff
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.context import OpenedSink, SinkContext, SinkSpec, parse_options
from soundwatch.daemon.sinks.mqtt.connection import CLOSING_S, Broker, MqttConnection, MqttMessage
from soundwatch.daemon.sinks.mqtt.fleet import line_messages, report_payload, resend_answer
from soundwatch.daemon.sinks.mqtt.home_assistant import BIRTH_TOPIC, discovery_payload, discovery_topic, removal_payload
from soundwatch.daemon.sinks.mqtt.options import MqttOptions, parse_broker
from soundwatch.daemon.sinks.mqtt.topics import (
    Topics,
    check_names,
    event_payload,
    level_payload,
    retained_states,
    topic_segment,
)

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
FIRST_PATIENCE_S: Final = 2.0


class MqttSink:
    """A broker that lines and states go to.

    Args:
        name: As the log and the cursors name it.
        broker: Where it is.
        options: What it is told.
        sink_context: Where states, levels and the switch are.
    """

    def __init__(self, name: str, broker: Broker, options: MqttOptions, sink_context: SinkContext) -> None:
        self.name = name
        self._broker = broker
        self._options = options
        self._sink_context = sink_context
        self._topics = Topics(sink_context.node)
        self._discovery_topic = discovery_topic(sink_context.node)
        self._said: dict[str, bytes] = {}  # on this connection
        self._saying = threading.Lock()  # guards it
        self._link: MqttConnection | None = None
        self._up = threading.Event()  # a link is there, or never will be
        self._closing = threading.Event()
        self._reason: str | None = None  # why there is no link, once that was said
        self._patience_s = FIRST_PATIENCE_S
        self._sent_seq: int | None = None
        self._levels_unix_ns: dict[str, int] = {}
        self._keeper = threading.Thread(target=self._keep, name=f"connection to {name}", daemon=True)
        self._keeper.start()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Publish what has changed, and the events among the lines.

        Raises:
            OSError: The broker does not have all, for all that is known.
        """
        self._up.wait(self._patience_s)
        link = self._link
        if link is None:
            self._patience_s = LONGEST_PAUSE_S
            raise ConnectionError(self._reason or "not connected to the broker yet")
        self._say_states(link)
        payloads = [found for entry in entries if (found := event_payload(entry)) is not None]
        messages = [MqttMessage(self._topics.event(source), payload) for source, payload in payloads]
        if self._options.fleet:
            messages += line_messages(self._topics, self._sink_context, entries)
        link.publish(messages)
        self._sent_seq = entries[-1].seq
        self._patience_s = FIRST_PATIENCE_S

    def close(self) -> None:
        """Say goodbye, if the broker is there."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._up.set()
        link = self._link
        if link is not None:
            with contextlib.suppress(queue.Full):
                link.heard.put_nowait(None)
        self._keeper.join(CLOSING_S)

    def _keep(self) -> None:
        """The keeper's thread: connect, serve, and connect again."""
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        will = MqttMessage(self._topics.status, b"offline", self._options.retain)
        while not self._closing.is_set():
            try:
                link = MqttConnection(self._broker, f"soundwatch-{topic_segment(self._sink_context.node)}", will)
            except OSError as error:
                self._tell(str(error))
                self._closing.wait(backoff.next_s())
                continue
            began_s = time.monotonic()
            try:
                self._greet(link)
                self._serve(link)
                self._part(link)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next connection may do
                self._tell(str(error) or type(error).__name__)
            finally:
                self._link = None
                if not self._closing.is_set():
                    self._up.clear()
                link.close()
            if time.monotonic() > began_s + LONGEST_PAUSE_S:
                backoff.reset()
            self._closing.wait(backoff.next_s())

    def _greet(self, link: MqttConnection) -> None:
        """Say how everything stands, and begin to hear what the broker and others say."""
        with self._saying:
            self._said = {}
        base = self._topics.base
        heard = [f"{base}/+/set", f"{base}/+/status", f"{base}/+/class/+", BIRTH_TOPIC, self._discovery_topic]
        heard += [self._topics.again] if self._options.fleet else []
        for topic in link.subscribe(heard):
            self._sink_context.log.warning(
                "the broker does not let soundwatch read a topic", sink=self.name, topic=topic
            )
        self._say_states(link)
        self._link = link
        self._tell(None)
        self._up.set()

    def _serve(self, link: MqttConnection) -> None:
        """What is to be done while a connection lasts.

        Raises:
            OSError: It does not last.
        """
        every_s = {self._say_levels: self._options.level_s}
        if self._options.fleet:
            every_s[self._report] = self._options.report_s
        due_s = {say: 0.0 for say, pause_s in every_s.items() if pause_s}
        while not self._closing.is_set():
            for say, at_s in due_s.items():
                if time.monotonic() >= at_s:
                    say(link)
                    due_s[say] = time.monotonic() + every_s[say]
            with contextlib.suppress(queue.Empty):
                until_s = min(due_s.values(), default=None)
                wait_s = None if until_s is None else max(0.0, until_s - time.monotonic())
                message = link.heard.get(timeout=wait_s)
                if message is not None:
                    self._obey(link, message)
            if link.lost is not None:
                raise ConnectionError(link.lost)

    def _part(self, link: MqttConnection) -> None:
        """Say that this is the end."""
        self._say_states(link)
        if self._options.fleet:
            self._report(link)
        link.publish([MqttMessage(self._topics.status, b"stopped", self._options.retain)])

    def _obey(self, link: MqttConnection, message: MqttMessage) -> None:
        """Do what a message asks for."""
        if message.topic == BIRTH_TOPIC:
            if message.payload == b"online" and not message.retained:
                with self._saying:
                    self._said = {}
                self._say_states(link)
        elif message.topic == self._topics.again:
            self._say_again(link, message)
        elif message.topic.endswith("/set"):
            self._switch(message)
        elif message.retained and message.payload:
            self._empty(link, message)

    def _switch(self, message: MqttMessage) -> None:
        source = next((name for name in self._sources() if self._topics.set(name) == message.topic), None)
        if message.retained or source is None or message.payload not in (b"ON", b"OFF"):
            why = "it was retained" if message.retained else "ON or OFF to a source was wanted"
            self._sink_context.log.warning(
                "an MQTT message was not obeyed", sink=self.name, topic=message.topic, reason=why
            )
        else:
            self._sink_context.switch(source, message.payload == b"ON")

    def _say_again(self, link: MqttConnection, message: MqttMessage) -> None:
        """Publish lines once more that a fleet lacks."""
        try:
            answer = [] if message.retained else resend_answer(self._topics, self._sink_context, message.payload)
        except (msgspec.MsgspecError, ValueError, RecursionError, sqlite3.Error) as error:
            reason = f"{error}."
            self._sink_context.log.warning(
                "an MQTT message was not obeyed", sink=self.name, topic=message.topic, reason=reason
            )
            return
        link.publish(answer)

    def _report(self, link: MqttConnection) -> None:
        payload = report_payload(self._sink_context, self._sent_seq, self._options.report_s)
        link.publish([MqttMessage(self._topics.report, payload, self._options.retain)])

    def _empty(self, link: MqttConnection, kept: MqttMessage) -> None:
        """Remove what the broker has kept from an earlier time and nobody says any more."""
        wanted = self._wanted()
        if kept.topic not in wanted:
            link.publish([MqttMessage(kept.topic, b"", retained=True)])
        elif kept.topic == self._discovery_topic:
            now = wanted[kept.topic]
            if removing := self._removing(kept.payload, now):
                link.publish([*removing, MqttMessage(kept.topic, now, self._options.retain)])

    def _removing(self, before: bytes, now: bytes) -> list[MqttMessage]:
        """What says which entities are no more, before the others are told of; nothing where none has gone."""
        fewer = removal_payload(before, now)
        return [] if fewer is None else [MqttMessage(self._discovery_topic, fewer, self._options.retain)]

    def _say_states(self, link: MqttConnection) -> None:
        """Publish those states that are not what was last said on this connection."""
        with self._saying:
            wanted, said = self._wanted(), self._said
            news = [MqttMessage(topic, b"", retained=True) for topic in said if topic not in wanted]
            if self._discovery_topic in said and self._discovery_topic in wanted:
                news += self._removing(said[self._discovery_topic], wanted[self._discovery_topic])
            for topic, payload in wanted.items():
                if said.get(topic) != payload:
                    news.append(MqttMessage(topic, payload, self._options.retain))
            link.publish(news)
            self._said = wanted

    def _say_levels(self, link: MqttConnection) -> None:
        for source, reading in list(self._sink_context.live.latest.items()):
            if self._levels_unix_ns.get(source) != reading.end_unix_ns:
                self._levels_unix_ns[source] = reading.end_unix_ns
                link.mention(MqttMessage(self._topics.level(source), level_payload(reading)))

    def _wanted(self) -> dict[str, bytes]:
        """What every kept topic is to say, the description for Home Assistant first."""
        around, options = self._sink_context, self._options
        described: dict[str, bytes] = {}
        if options.discovery:
            described[self._discovery_topic] = discovery_payload(
                around.node, self._sources(), around.classes(), options.level_s
            )
        return described | retained_states(around.board(), self._topics, around.classes())

    def _sources(self) -> list[str]:
        return list(self._sink_context.board().sources)

    def _tell(self, reason: str | None) -> None:
        """Say a change of the connection, once."""
        before, self._reason = self._reason, reason
        if reason is None and before is not None:
            self._sink_context.log.warning("connected to the broker again", sink=self.name)
        elif reason is not None and before is None and not self._closing.is_set():
            self._sink_context.log.warning(
                "not connected to the broker; it is tried again", sink=self.name, error=reason
            )


def open_mqtt(spec: SinkSpec, sink_context: SinkContext) -> OpenedSink:
    """The sinks `mqtt://HOST[:PORT]` and `mqtts://HOST[:PORT]`.

    Raises:
        ConfigError: The address or an option is wrong.
        SinkError: A file of the options cannot be read.
    """
    options = parse_options(spec, MqttOptions)
    broker = parse_broker(spec, options)
    check_names("sources", list(sink_context.board().sources))
    check_names("classes", sink_context.labels)
    return OpenedSink(
        MqttSink(f"{spec.kind}://{broker.host}:{broker.port}", broker, options, sink_context), durable=True
    )
