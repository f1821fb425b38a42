"""Ownership of a machine's name at a broker, so that two machines of one name do not overwrite each other.

Conventions: each run of the daemon has a random boot id. A machine that connects asks at `claim` whether its name is in
use; the machine that uses the name answers at `owner`, retained. The machine that came first keeps the name; if both
start at once, the smaller boot id keeps it. The other one publishes nothing and tries again later.
Rule: what the broker keeps under a name is removed only by the machine whose journal published it.
Does not: publish states (`sinks/mqtt/sink.py`).
"""

from __future__ import annotations

import contextlib
import queue
import time
from typing import Final

import msgspec

from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.text.foreign_json import JSON_ERRORS
from soundwatch.daemon.sinks.mqtt.connection import MqttConnection, MqttMessage
from soundwatch.daemon.sinks.mqtt.refused_topics import RefusedTopics
from soundwatch.daemon.sinks.mqtt.topics import Topics

RETAINED_WAIT_S: Final = 0.5  # for the retained owner, after the subscription
ANSWER_WAIT_S: Final = 3.0  # for the answer of another owner


class Owner(msgspec.Struct, frozen=True):
    """A machine that uses a name.

    Attributes:
        journal: Identity of its journal, which outlasts restarts.
        boot: Identity of this run of its daemon.
    """

    journal: str
    boot: str


class NameInUseError(ConnectionError):
    """Another machine uses this name at the broker."""


class Ownership:
    """This machine's claim to its name at a broker.

    Args:
        own: This machine.
        topics: Topics of the name.
        log: Log of the daemon.
        sink: Name of the sink in the log.
    """

    def __init__(self, own: Owner, topics: Topics, log: Logger, sink: str) -> None:
        self.may_remove = False
        self._own = own
        self._topics = topics
        self._log = log
        self._sink = sink
        self._retain = True
        self._claimants: set[str] = set()  # boot ids that were logged
        self.refused_topics = RefusedTopics()

    @property
    def subscriptions(self) -> tuple[str, str]:
        """Topics to subscribe to."""
        return self._topics.owner, self._topics.claim

    def acquire(self, connection: MqttConnection, *, retain: bool) -> None:
        """Claim the name, and take it if no other machine answers.

        Raises:
            NameInUseError: Another machine uses the name.
            OSError: The connection is lost.
        """
        self._retain = retain
        connection.subscribe(self.subscriptions)
        self._publish(connection, MqttMessage(self._topics.claim, msgspec.json.encode(self._own)))
        previous = self._wait_for_answer(connection)
        self.may_remove = self.may_remove or (previous is not None and previous.journal == self._own.journal)
        self._publish(connection, self._answer())

    def answer_claim(self, connection: MqttConnection, message: MqttMessage) -> bool:
        """Answer another machine that claims the name which this machine uses.

        Returns:
            Whether the message was about the name, or overwrote the state of this machine.

        Raises:
            NameInUseError: Another machine keeps the name.
            OSError: The connection is lost.
        """
        if message.topic not in self.subscriptions:
            return False
        other = _parse(message.payload)
        if other is None or other.boot == self._own.boot or message.retained:
            return True
        if message.topic == self._topics.owner and other.boot < self._own.boot:
            raise self._in_use(other)
        if other.boot not in self._claimants:
            self._claimants.add(other.boot)
            self._log.warning("mqtt_name_claimed_by_other", sink=self._sink, node=self._topics.node)
        self._publish(connection, self._answer())
        return True

    def _answer(self) -> MqttMessage:
        return MqttMessage(self._topics.owner, msgspec.json.encode(self._own), self._retain)

    def _publish(self, connection: MqttConnection, message: MqttMessage) -> None:
        """Publish a message, unless the broker refuses its topic.

        Raises:
            OSError: The connection is lost.
        """
        if message.topic in self.refused_topics:
            return
        if connection.publish_each([message]):
            self.refused_topics.add(message.topic)
        else:
            self.refused_topics.accept([message.topic])

    def _wait_for_answer(self, connection: MqttConnection) -> Owner | None:
        """Return the owner that the broker had kept, once no other machine has answered.

        Raises:
            NameInUseError: Another machine uses the name.
            OSError: The connection is lost.
        """
        previous: Owner | None = None
        started_s = time.monotonic()
        until_s = started_s + RETAINED_WAIT_S
        while (left_s := until_s - time.monotonic()) > 0:
            message = None
            with contextlib.suppress(queue.Empty):
                message = connection.received.get(timeout=left_s)
            if connection.lost is not None:
                raise ConnectionError(connection.lost)
            other = _parse(message.payload) if message is not None else None
            if message is None or other is None or other.boot == self._own.boot:
                continue
            if message.topic == self._topics.owner and message.retained:
                previous = other
                if other.journal != self._own.journal:
                    until_s = started_s + ANSWER_WAIT_S
            elif message.topic == self._topics.owner or other.boot < self._own.boot:
                raise self._in_use(other)
        return previous

    def _in_use(self, other: Owner) -> NameInUseError:
        same = "a copy of this machine" if other.journal == self._own.journal else "another machine"
        return NameInUseError(
            f"{same} with the name {self._topics.node} uses this broker; give each machine a `node` of its own"
        )


def _parse(payload: bytes) -> Owner | None:
    try:
        return msgspec.json.decode(payload, type=Owner)
    except JSON_ERRORS:
        return None
