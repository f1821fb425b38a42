"""One connection to an MQTT 5 broker, from its beginning to its loss.

Conventions: what was published counts as taken when the broker has acknowledged it (QoS 1). A connection that is lost
is never taken up again: then nothing that was on its way is sent a second time by itself, unmarked. Whoever publishes
waits; what is heard goes into a bounded queue.
Source: docs.oasis-open.org/mqtt/mqtt/v5.0; paho-mqtt.
Does not: connect again, or know topics (`sinks/mqtt/sink.py`).
"""

from __future__ import annotations

import queue
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

KEEPALIVE_S: Final = 30
ANSWER_S: Final = 20.0
CLOSING_S: Final = 2.0
IN_FLIGHT: Final = 20  # messages that paho has on their way to the broker
AT_ONCE: Final = 100  # that are handed to it, so that it need not wait for all of them before it sends more
HEARD_MESSAGES: Final = 10_000
REFUSED: Final = 128  # reason codes from here on are failures


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is and how to be let in.

    Attributes:
        host: Its name or address.
        port: Its port.
        tls: What its certificate is checked with; None for a connection that is not encrypted.
        username: Whom it knows us as; None for nobody.
        password: The proof; never shown.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """What is published, or was heard.

    Attributes:
        topic: Where.
        payload: What.
        retained: To be kept by the broker; of one that was heard, that it was.
        heard_unix_ns: When it was heard, by our clock.
    """

    topic: str
    payload: bytes
    retained: bool = False
    heard_unix_ns: int = 0


class MqttConnection:
    """A connection.

    Args:
        broker: Where to.
        client_id: Who we are; the broker ends an older connection of the same name.
        will: What the broker says for us when we are lost; None for nothing.
        most_heard: How many messages that were heard may wait to be looked at; more are dropped and counted.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(
        self, broker: Broker, client_id: str, will: MqttMessage | None, most_heard: int = HEARD_MESSAGES
    ) -> None:
        self.heard = queue.Queue[MqttMessage | None](most_heard)
        self.dropped_messages = 0
        self.lost: str | None = None
        self._answers: dict[int, Sequence[ReasonCode | None]] = {}
        self._connected = False
        self._at_once = AT_ONCE
        self._news = threading.Condition()  # guards the four above
        self._turn = threading.Lock()  # one at a time hands something over
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retained)
        client.connect_timeout = ANSWER_S
        if broker.tls is not None:
            client.tls_set_context(broker.tls)
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        try:
            client.connect(broker.host, broker.port, KEEPALIVE_S)
            client.loop_start()
            with self._news:
                self._wait(lambda: self._connected)
        except OSError:
            self.close()
            raise
        except ValueError as error:  # a host name that cannot be one
            raise OSError(str(error)) from error

    def publish(self, messages: Sequence[MqttMessage]) -> None:
        """Hand messages over and wait until the broker has them all.

        Raises:
            OSError: It does not have all, for all that is known.
        """
        for first in range(0, len(messages), self._at_once):
            some = messages[first : first + self._at_once]
            with self._turn:
                self._answers.clear()  # of what was only mentioned
                self._settle([self._send(message, qos=1) for message in some], some)

    def mention(self, message: MqttMessage) -> None:
        """Hand over a message that may be lost, and wait for nothing."""
        with self._turn:
            self._send(message, qos=0)

    def subscribe(self, topics: Sequence[str]) -> list[str]:
        """Hear what others publish there, and what the broker has kept.

        Returns:
            Topics that the broker keeps from us.

        Raises:
            OSError: The connection is lost.
        """
        wanted = [(topic, SubscribeOptions(qos=1, noLocal=True)) for topic in topics]
        with self._turn:
            number = self._client.subscribe(wanted)[1] or 0
            with self._news:
                self._wait(lambda: number in self._answers)
                answers = self._answers.pop(number)
        return [
            topic
            for topic, answer in zip(topics, answers, strict=True)
            if answer is not None and answer.value >= REFUSED
        ]

    def close(self) -> None:
        """End it, with a goodbye where it still stands."""
        self._client.disconnect()
        self._client.loop_stop()

    def _send(self, message: MqttMessage, qos: int) -> int:
        return self._client.publish(message.topic, message.payload, qos, message.retained).mid

    def _settle(self, numbers: Sequence[int], messages: Sequence[MqttMessage]) -> None:
        """Wait until all were acknowledged."""
        try:
            with self._news:
                self._wait(lambda: all(number in self._answers for number in numbers))
        finally:  # also where the broker ends the connection over it
            for number, message in zip(numbers, messages, strict=True):
                answer = self._answers.pop(number, [None])[0]
                if answer is not None and answer.value >= REFUSED:
                    raise PermissionError(f"the broker refuses {message.topic}: {answer}")

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait for an answer, with `_news` held.

        Raises:
            OSError: None will come.
        """
        until_s = time.monotonic() + ANSWER_S
        while not done():
            if self.lost is not None:
                raise ConnectionError(self.lost)
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                self.lost = f"no answer from the broker within {ANSWER_S:.0f} seconds"
                self._wake()
                raise TimeoutError(self.lost)
            self._news.wait(left_s)

    def _wake(self) -> None:
        """Have whoever waits see what has happened, with `_news` held."""
        self._news.notify_all()
        if self.lost is not None and not self.heard.full():
            self.heard.put_nowait(None)

    def _on_connect(self, _: object, __: object, ___: object, reason: ReasonCode, properties: Any) -> None:
        with self._news:
            self._connected = not reason.is_failure
            if reason.is_failure:
                self.lost = f"the broker refuses the connection: {reason}"
            allowed = getattr(properties, "ReceiveMaximum", IN_FLIGHT)
            self._at_once = AT_ONCE if allowed >= IN_FLIGHT else allowed
            self._wake()

    def _on_disconnect(self, _: object, __: object, ___: object, reason: ReasonCode, ____: object) -> None:
        with self._news:
            self.lost = self.lost or f"the connection to the broker was lost: {reason}"
            self._wake()

    def _on_publish(self, _: object, __: object, number: int, reason: ReasonCode, ___: object) -> None:
        with self._news:
            self._answers[number] = [reason]
            self._wake()

    def _on_subscribe(self, _: object, __: object, number: int, reasons: Sequence[ReasonCode], ___: object) -> None:
        with self._news:
            self._answers[number] = reasons
            self._wake()

    def _on_message(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        if self.heard.full():
            self.dropped_messages += 1
        else:
            self.heard.put_nowait(MqttMessage(message.topic, bytes(message.payload), message.retain, time.time_ns()))
