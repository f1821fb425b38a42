"""Retained states of a machine at a broker, and the description for Home Assistant.

Conventions: within one connection only changes are published. What goes with the events (states, discovery, reports) is
an extra that never blocks them.
Rule: a topic that the broker refuses is left out, and tried again later. An optional
message after which the broker disconnects `LEAVE_OUT_LOSSES` times in a row is no longer sent. Both are logged.
Does not: connect, or publish events (`sinks/mqtt/sink.py`).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Final

from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.mqtt.connection import MqttConnection, MqttMessage
from soundwatch.daemon.sinks.mqtt.home_assistant import (
    Device,
    discovery_payload,
    discovery_topic,
    metered_sources,
    removal_payload,
)
from soundwatch.daemon.sinks.mqtt.options import MqttOptions
from soundwatch.daemon.sinks.mqtt.pictures import has_pictures
from soundwatch.daemon.sinks.mqtt.refused_topics import RefusedTopics
from soundwatch.daemon.sinks.mqtt.topics import Topics, control_states, retained_states

LEAVE_OUT_LOSSES: Final = 3
OPTIONAL: Final = ("discovery", "report")  # large messages; states are small and never left out


class StatePublisher:
    """Publishes the states of a machine.

    Args:
        name: Name of the sink in the log.
        topics: Topics of the machine.
        options: Options of the sink.
        view: View of the daemon.
    """

    def __init__(self, name: str, topics: Topics, options: MqttOptions, view: DaemonView) -> None:
        self.discovery_topic = discovery_topic(view.node)
        self._name = name
        self._topics = topics
        self._options = options
        self._view = view
        self._log = view.log
        self._published: dict[str, bytes] = {}  # on this connection
        self._publishing = threading.Lock()  # guards it
        self._left_out: set[str] = set()  # extras that this broker does not take
        self._losses = Counter[str]()  # connections lost in a row while an extra was published
        self.refused_topics = RefusedTopics()

    def remove_stale(self, connection: MqttConnection, kept: MqttMessage) -> None:
        """Remove a retained message of an earlier run whose source or class no longer exists."""
        current = self._current_states()
        if kept.topic == self.discovery_topic and kept.topic in current:
            now = current[kept.topic]
            if removing := self._removing(kept.payload, now):
                last = MqttMessage(kept.topic, now, self._options.retain)
                self.publish_extra(connection, "discovery", [*removing, last])
        elif kept.topic not in current:
            self.publish_extra(connection, "states", [MqttMessage(kept.topic, b"", retained=True)])

    def _removing(self, before: bytes, now: bytes) -> list[MqttMessage]:
        """Return the message that removes entities; none where no entity has gone."""
        fewer = removal_payload(before, now)
        return [] if fewer is None else [MqttMessage(self.discovery_topic, fewer, self._options.retain)]

    def publish_all(self, connection: MqttConnection) -> None:
        """Publish all states.

        Raises:
            OSError: The connection is lost.
        """
        with self._publishing:
            self._published = {}
        self.publish(connection)

    def publish(self, connection: MqttConnection) -> None:
        """Publish the states that changed since they were last published on this connection.

        Raises:
            OSError: The connection is lost.
        """
        with self._publishing:
            current, due = self._current_states(), self.refused_topics.due
            before = {topic: payload for topic, payload in self._published.items() if topic not in due}
            changes = [MqttMessage(topic, b"", retained=True) for topic in before if topic not in current]
            described: list[MqttMessage] = []
            if self.discovery_topic in before and self.discovery_topic in current:
                described += self._removing(before[self.discovery_topic], current[self.discovery_topic])
            for topic, payload in current.items():
                if before.get(topic) != payload:
                    target = described if topic == self.discovery_topic else changes
                    target.append(MqttMessage(topic, payload, self._options.retain))
            self.publish_extra(connection, "discovery", described)
            self.publish_extra(connection, "states", changes)
            self._published = current

    def publish_extra(self, connection: MqttConnection, extra: str, messages: Sequence[MqttMessage]) -> None:
        """Publish messages that the events do not depend on.

        Raises:
            OSError: The connection is lost.
        """
        wanted = [message for message in messages if message.topic not in self.refused_topics]
        if not wanted or extra in self._left_out:
            return
        try:
            refusals = connection.publish_each(wanted)
        except OSError as error:
            self._losses[extra] += isinstance(error, ConnectionError) and extra in OPTIONAL
            if self._losses[extra] >= LEAVE_OUT_LOSSES:
                self._left_out.add(extra)
                self._log.warning("mqtt_message_disabled", sink=self._name, extra=extra, reason=str(error))
            raise
        del self._losses[extra]
        for refusal in refusals:
            self.log_refused(refusal.topic, refusal.reason)
        refused = {refusal.topic for refusal in refusals}
        for topic in self.refused_topics.accept({message.topic for message in wanted} - refused):
            self._log.info("mqtt_topic_accepted", sink=self._name, topic=topic)

    def _current_states(self) -> dict[str, bytes]:
        """Return the payload of every retained topic, the description for Home Assistant first."""
        view, options, classes = self._view, self._options, tuple(self._view.model().thresholds)
        control = view.control.state() if options.commands and view.control is not None else None
        described: dict[str, bytes] = {}
        if options.discovery:
            config = view.config()
            device = Device(
                node=view.node,
                sources=list(view.status.snapshot.sources),
                classes=classes,
                level_s=options.level_s,
                metered=metered_sources(config),
                control=control,
                language=config.place.language,
                clips=options.page is not None and config.clips.folder is not None,
                pictures=options.pictures and has_pictures(config),
            )
            described[self.discovery_topic] = discovery_payload(device)
        states = {} if control is None else control_states(control, self._topics)
        return described | retained_states(view.status.snapshot, self._topics, classes) | states

    def log_refused(self, topic: str, reason: str) -> None:
        """Log once that the broker refuses a topic, which is left out for now."""
        if self.refused_topics.add(topic):
            self._log.warning("mqtt_topic_refused", sink=self._name, topic=topic, reason=reason)
