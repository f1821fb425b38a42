"""Events and states to an MQTT broker, and through it to Home Assistant.

Conventions: a line counts as delivered when the broker has acknowledged it. States (online, ON, OFF, heard ...) are
never replayed: they come from the current snapshot, all of them on every connection, then those that change. After a
long absence only the `event` lines come late. Retained messages about sources and classes that no longer exist are
removed. One thread keeps the connection.
Rule: a retained message under `.../set` is old and is ignored.
Rule: two machines of one name do not overwrite each other (`sinks/mqtt/ownership.py`).
Rule: what goes with the events (discovery, states, reports, pictures) never blocks them (`sinks/mqtt/states.py`).
Source: the topics are those of `sinks/mqtt/topics.py`.
Does not: read options (`sinks/mqtt/options.py`), speak MQTT (`sinks/mqtt/connection.py`), or describe entities
(`sinks/mqtt/home_assistant.py`).
"""

from __future__ import annotations

import contextlib
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from soundwatch.daemon.config.clips_folder import clips_folder
from soundwatch.daemon.core.errors import SinkError, SoundwatchError
from soundwatch.daemon.core.files.renewed import Renewed
from soundwatch.daemon.core.network.backoff import Backoff
from soundwatch.daemon.core.text.foreign_json import JSON_ERRORS
from soundwatch.daemon.core.text.messages import failure_text
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.mqtt.clip_links import check_page, clip_link
from soundwatch.daemon.sinks.mqtt.commands import carry_out_command
from soundwatch.daemon.sinks.mqtt.connection import CLOSING_S, Broker, MqttConnection, MqttMessage
from soundwatch.daemon.sinks.mqtt.fleet import line_messages, report_payload, resend_answer
from soundwatch.daemon.sinks.mqtt.home_assistant import BIRTH_TOPIC
from soundwatch.daemon.sinks.mqtt.options import MqttOptions, parse_address, parse_broker, renewed_broker
from soundwatch.daemon.sinks.mqtt.ownership import Owner, Ownership
from soundwatch.daemon.sinks.mqtt.pictures import check_pictures, picture_messages
from soundwatch.daemon.sinks.mqtt.states import StatePublisher
from soundwatch.daemon.sinks.mqtt.topics import (
    SCHEDULES,
    Topics,
    check_names,
    event_payload,
    level_payload,
    topic_segment,
)
from soundwatch.daemon.sinks.place import host_place
from soundwatch.daemon.sinks.spec import PreparedSink, SinkSpec

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
FIRST_PATIENCE_S: Final = 2.0


class MqttSink:
    """A broker that lines and states are published to.

    Args:
        name: Name in the log.
        broker: Address and credentials, for the next connection.
        options: Options of the sink.
        view: View of the daemon.
    """

    def __init__(self, name: str, broker: Renewed[Broker], options: MqttOptions, view: DaemonView) -> None:
        self.skipped_lines = 0
        self._name = name
        self._broker = broker
        self._options = options
        self._view = view
        self._log = view.log
        self._topics = Topics(view.node)
        self._states = StatePublisher(name, self._topics, options, view)
        boot, journal = secrets.token_hex(8), view.journal.store.identity()
        self._client_id = f"soundwatch-{topic_segment(view.node)}-{boot}"
        self._ownership = Ownership(Owner(journal, boot), self._topics, view.log, name)
        self._connection: MqttConnection | None = None
        self._connected = threading.Event()  # a connection is there, or never will be
        self._closing = threading.Event()
        self._reason: str | None = None  # why there is no connection, once that was logged
        self._patience_s = FIRST_PATIENCE_S
        self._sent_seq: int | None = None
        self._levels_unix_ns: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name=f"connection to {name}", daemon=True)
        self._thread.start()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Publish changed states, and the events among the lines.

        Raises:
            OSError: Some messages may not have arrived.
        """
        self._connected.wait(self._patience_s)
        connection = self._connection
        if connection is None:
            self._patience_s = LONGEST_PAUSE_S
            raise ConnectionError(self._reason or "not connected to the broker yet")
        self._states.publish(connection)
        payloads = [found for entry in entries if (found := event_payload(entry)) is not None]
        messages = [MqttMessage(self._topics.event(source), payload) for source, payload in payloads]
        messages += self._clip_messages(entries)
        if self._options.fleet:
            messages += line_messages(self._topics, self._view.journal.store.identity(), entries)
        for refusal in sorted(connection.publish_each(messages), key=lambda one: one.too_large):
            if not refusal.too_large:
                raise PermissionError(f"the broker refuses {refusal.topic}: {refusal.reason}")
            self.skipped_lines += ("/lines/" if self._options.fleet else "/event") in refusal.topic
            self._log.error("mqtt_line_too_large", sink=self._name, topic=refusal.topic, reason=refusal.reason)
        if self._options.pictures:
            folder = clips_folder(self._view.config().clips)
            pictures = picture_messages(entries, self._topics, folder, self._log, self._name)
            self._states.publish_extra(connection, "pictures", pictures)
        self._sent_seq = entries[-1].seq
        self._patience_s = FIRST_PATIENCE_S

    def close(self) -> None:
        """Publish the last states and disconnect, if the broker is there."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._connected.set()
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(queue.Full):
                connection.received.put_nowait(None)
        self._thread.join(CLOSING_S)

    def _run(self) -> None:
        """Connect, serve, and connect again."""
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        will = MqttMessage(self._topics.status, b"offline", self._options.retain)
        while not self._closing.is_set():
            try:
                connection = MqttConnection(self._broker.get(), self._client_id, will)
            except (OSError, SoundwatchError) as error:
                self._log_state(failure_text(error))
                self._closing.wait(backoff.next_s())
                continue
            began_s, refused_before = time.monotonic(), self._refused_count
            try:
                self._announce(connection)
                self._serve(connection)
                self._say_goodbye(connection)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next connection may do
                self._log_state(failure_text(error))
            finally:
                self._connection = None
                if not self._closing.is_set():
                    self._connected.clear()
                connection.close()
            if time.monotonic() > began_s + LONGEST_PAUSE_S or self._refused_count > refused_before:
                backoff.reset()  # the broker hung up on a topic that the next connection leaves out
            self._closing.wait(backoff.next_s())

    @property
    def _refused_count(self) -> int:
        return self._states.refused_topics.count + self._ownership.refused_topics.count

    def _announce(self, connection: MqttConnection) -> None:
        """Take the name, publish all states, and subscribe to commands."""
        self._states.refused_topics.connected()
        self._ownership.refused_topics.connected()
        self._ownership.acquire(connection, retain=self._options.retain)
        if connection.limits.missing:
            missing = ", ".join(connection.limits.missing)
            self._log.info("mqtt_features_unsupported", sink=self._name, missing=missing)
        base = self._topics.base
        topics = [self._topics.status, f"{base}/+/set", f"{base}/+/status", f"{base}/+/class/+", BIRTH_TOPIC]
        topics += [f"{base}/+/threshold_offset", f"{base}/{SCHEDULES}/+/enabled", f"{base}/{SCHEDULES}/+/active"]
        if self._options.commands:
            topics += [f"{base}/+/threshold_offset/set", f"{base}/{SCHEDULES}/+/enabled/set"]
        topics += [self._states.discovery_topic, *(self._topics.resend if self._options.fleet else ())]
        for topic in connection.subscribe(topics):
            self._states.log_refused(topic, "no permission to read")
        self._states.publish_all(connection)
        self._connection = connection
        self._log_state(None)
        self._connected.set()

    def _serve(self, connection: MqttConnection) -> None:
        """Publish due messages, and handle received ones.

        Raises:
            OSError: The connection is lost, or another machine keeps the name.
        """
        interval_s: dict[Callable[[MqttConnection], None], float] = {self._publish_levels: self._options.level_s}
        if self._options.fleet:
            interval_s[self._publish_report] = self._options.report_s
        due_s = {publish: 0.0 for publish, pause_s in interval_s.items() if pause_s}
        while not self._closing.is_set():
            for publish, at_s in due_s.items():
                if time.monotonic() >= at_s:
                    publish(connection)
                    due_s[publish] = time.monotonic() + interval_s[publish]
            with contextlib.suppress(queue.Empty):
                until_s = min(due_s.values(), default=None)
                wait_s = None if until_s is None else max(0.0, until_s - time.monotonic())
                message = connection.received.get(timeout=wait_s)
                if message is not None and not self._ownership.answer_claim(connection, message):
                    self._receive(connection, message)
            if connection.lost is not None:
                raise ConnectionError(connection.lost)

    def _say_goodbye(self, connection: MqttConnection) -> None:
        self._states.publish(connection)
        if self._options.fleet:
            self._publish_report(connection)
        stopped = MqttMessage(self._topics.status, b"stopped", self._options.retain)
        self._states.publish_extra(connection, "states", [stopped])

    def _receive(self, connection: MqttConnection, message: MqttMessage) -> None:
        """Act on a message of Home Assistant, a fleet, a user, or the broker's memory."""
        if message.topic == BIRTH_TOPIC:
            if message.payload == b"online" and not message.retained:
                self._states.publish_all(connection)
        elif message.topic == self._topics.status:
            if message.payload != b"online" and not message.retained:  # the will of an earlier connection came late
                self._states.publish_all(connection)
        elif message.topic in self._topics.resend:
            self._resend(connection, message)
        elif message.topic.endswith("/set"):
            self._carry_out_command(message)
        elif message.retained and message.payload and self._ownership.may_remove:
            self._states.remove_stale(connection, message)

    def _carry_out_command(self, message: MqttMessage) -> None:
        reason = carry_out_command(message, self._topics, self._view, commands=self._options.commands)
        if reason is not None:
            self._log_ignored(message, reason)

    def _resend(self, connection: MqttConnection, message: MqttMessage) -> None:
        """Publish lines that a fleet requests."""
        try:
            answer = [] if message.retained else resend_answer(self._topics, self._view, message)
        except (*JSON_ERRORS, ValueError, sqlite3.Error) as error:
            self._log_ignored(message, f"{error}.")
            return
        connection.publish_each(answer)

    def _clip_messages(self, entries: Sequence[JournalEntry]) -> list[MqttMessage]:
        if self._options.page is None:
            return []
        links = [link for entry in entries if (link := clip_link(entry, self._options.page)) is not None]
        return [MqttMessage(self._topics.clip(link.source), msgspec.json.encode(link)) for link in links]

    def _publish_report(self, connection: MqttConnection) -> None:
        payload = report_payload(self._view, self._sent_seq, self._options.report_s)
        report = MqttMessage(self._topics.report, payload, self._options.retain)
        self._states.publish_extra(connection, "report", [report])

    def _publish_levels(self, connection: MqttConnection) -> None:
        for source, result in list(self._view.live.latest.items()):
            if self._levels_unix_ns.get(source) != result.end_unix_ns:
                self._levels_unix_ns[source] = result.end_unix_ns
                level = self._view.live.latest_levels.get(source)
                connection.publish_best_effort(MqttMessage(self._topics.level(source), level_payload(result, level)))

    def _log_ignored(self, message: MqttMessage, reason: str) -> None:
        self._log.warning("mqtt_message_ignored", sink=self._name, topic=message.topic, reason=reason)

    def _log_state(self, reason: str | None) -> None:
        """Log a change of the connection, once."""
        before, self._reason = self._reason, reason
        if reason is None and before is not None:
            self._log.info("mqtt_connected", sink=self._name)
        elif reason is not None and before is None and not self._closing.is_set():
            self._log.warning("mqtt_disconnected", sink=self._name, reason=reason)


def prepare_mqtt(spec: SinkSpec, options: MqttOptions, view: DaemonView) -> PreparedSink:
    """Prepare the sink `mqtt://HOST[:PORT]` or `mqtts://HOST[:PORT]`.

    Raises:
        ConfigError: The address or an option is wrong, two names would share topics, or clips have no pictures.
    """
    host, port = parse_address(spec)
    check_page(spec, options.page)
    check_names("sources", list(view.status.snapshot.sources))
    check_names("classes", view.model().contract.labels)
    if options.commands:
        check_names("schedules", list(view.config().schedules))
        check_names("sources or the word", [*view.status.snapshot.sources, SCHEDULES])
    if options.pictures:
        check_pictures(spec, view.config())
    with contextlib.suppress(SinkError):  # a file that cannot be read now is tried again
        parse_broker(spec, options)
    name = f"{spec.kind}://{host}:{port}"
    return PreparedSink(
        name=name,
        place=("mqtt", host_place(host), port),
        open=lambda: MqttSink(name, renewed_broker(spec, options), options, view),
        check=lambda: parse_broker(spec, options),
        durable=True,
    )
