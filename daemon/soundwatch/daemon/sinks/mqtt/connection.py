"""One connection to an MQTT broker, from its beginning to its loss.

Conventions: MQTT 5, or MQTT 3.1.1 where the broker has no other. A message counts as accepted when the broker has
acknowledged it (QoS 1). A lost connection is never resumed, so no message is sent a second time unmarked. Publishers
wait for the acknowledgement; received messages go into a bounded queue.
Rule: what a broker does not support (retained messages, QoS 1, large packets) is left out, and `limits` says so.
Source: docs.oasis-open.org/mqtt/mqtt/v5.0; paho-mqtt.
Does not: connect again, or know topics (`sinks/mqtt/sink.py`).
"""

from __future__ import annotations

import contextlib
import queue
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from soundwatch.daemon.sinks.mqtt.limits import (
    FAILURE_CODE,
    BrokerLimits,
    Refusal,
    limits_after_refusal,
    limits_of_connack,
    refusal_of_size,
)

KEEPALIVE_S: Final = 30
ANSWER_S: Final = 20.0
CLOSING_S: Final = 2.0
IN_FLIGHT: Final = 20  # messages on their way to the broker
BATCH_MESSAGES: Final = 100  # handed to paho at once
QUEUE_MESSAGES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Broker:
    """Address and credentials of a broker.

    Attributes:
        host: Name or address.
        port: Port.
        tls: Context that checks the broker's certificate; None for a connection without encryption.
        username: User name; None for none.
        password: Password; never shown.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """A message to publish, or a received one.

    Attributes:
        topic: Topic.
        payload: Payload.
        retained: Whether the broker is to keep it; of a received message, whether the broker had kept it.
        received_unix_ns: Time of the reception by this machine's clock.
    """

    topic: str
    payload: bytes
    retained: bool = False
    received_unix_ns: int = 0


class MqttConnection:
    """A connection.

    Args:
        broker: Address and credentials.
        client_id: Identity of this client; the broker ends an older connection of an equal one.
        will: Message that the broker publishes if this client is lost; None for none.
        capacity_messages: Size of the queue of received messages; more messages are dropped and counted.

    Raises:
        OSError: The connection cannot be made.
    """

    def __init__(
        self, broker: Broker, client_id: str, will: MqttMessage | None, capacity_messages: int = QUEUE_MESSAGES
    ) -> None:
        self.received = queue.Queue[MqttMessage | None](capacity_messages)
        self.dropped_messages = 0
        self.lost: str | None = None
        self.limits = BrokerLimits()
        self._answers: dict[int, Sequence[ReasonCode | None]] = {}
        self._connected = False
        self._refusal_code: int | None = None
        self._batch_messages = BATCH_MESSAGES
        self._change = threading.Condition()  # guards the state above
        self._turn = threading.Lock()  # one publisher at a time
        while True:
            self._client = self._new_client(broker, client_id, will)
            try:
                self._connect(broker)
            except OSError as error:
                self.close()
                fallback = None if isinstance(error, TimeoutError) else self._fallback()
                if fallback is None:
                    raise
                self.limits, self.lost, self._refusal_code = fallback, None, None
            else:
                return

    def publish(self, messages: Sequence[MqttMessage]) -> None:
        """Publish messages and wait until the broker has accepted all.

        Raises:
            PermissionError: The broker refuses one.
            OSError: The connection is lost; some messages may not have arrived.
        """
        for refusal in self.publish_each(messages):
            raise PermissionError(f"the broker refuses {refusal.topic}: {refusal.reason}")

    def publish_each(self, messages: Sequence[MqttMessage]) -> list[Refusal]:
        """Publish messages, wait for the acknowledgements, and return the refused ones.

        Raises:
            OSError: The connection is lost; some messages may not have arrived.
        """
        sized = [(message, refusal_of_size(self.limits, message.topic, message.payload)) for message in messages]
        refusals = [refusal for _, refusal in sized if refusal is not None]
        fitting = [message for message, refusal in sized if refusal is None]
        for first in range(0, len(fitting), self._batch_messages):
            batch = fitting[first : first + self._batch_messages]
            with self._turn:
                self._answers.clear()  # of messages without acknowledgement
                refusals += self._settle([self._send(message, self.limits.qos) for message in batch], batch)
        return refusals

    def publish_best_effort(self, message: MqttMessage) -> None:
        """Publish a message that may be lost, without waiting."""
        with self._turn:
            self._send(message, qos=0)

    def subscribe(self, topics: Sequence[str]) -> list[str]:
        """Subscribe to topics.

        Returns:
            Topics that the broker refuses.

        Raises:
            OSError: The connection is lost.
        """
        wanted: list[Any] = (
            [(topic, SubscribeOptions(qos=1, noLocal=True)) for topic in topics]
            if self.limits.protocol == "5"
            else [(topic, 1) for topic in topics]
        )
        with self._turn:
            number = self._client.subscribe(wanted)[1] or 0
            with self._change:
                self._wait(lambda: number in self._answers)
                answers = self._answers.pop(number)
        return [
            topic
            for topic, answer in zip(topics, answers, strict=True)
            if answer is not None and answer.value >= FAILURE_CODE
        ]

    def close(self) -> None:
        """Disconnect, and end the cycle of references, which would keep the client's sockets open."""
        self._client.disconnect()
        with contextlib.suppress(RuntimeError):  # its thread could not be started
            self._client.loop_stop()
        for event in ("connect", "disconnect", "publish", "subscribe", "message"):
            setattr(self._client, f"on_{event}", None)

    def _new_client(self, broker: Broker, client_id: str, will: MqttMessage | None) -> paho.Client:
        protocol = MQTTProtocolVersion.MQTTv5 if self.limits.protocol == "5" else MQTTProtocolVersion.MQTTv311
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=protocol, reconnect_on_failure=False)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=self.limits.qos, retain=will.retained and self.limits.retain)
        client.connect_timeout = ANSWER_S
        if broker.tls is not None:
            client.tls_set_context(broker.tls)
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_subscribe = self._on_publish, self._on_subscribe
        client.on_message = self._on_message
        return client

    def _connect(self, broker: Broker) -> None:
        try:
            self._client.connect(broker.host, broker.port, KEEPALIVE_S)
            self._client.loop_start()
        except (MemoryError, RuntimeError, ValueError) as error:  # no further thread, or no name of a host
            raise OSError(str(error)) from error
        with self._change:
            self._wait(lambda: self._connected)

    def _fallback(self) -> BrokerLimits | None:
        """Return the limits of another attempt, if the broker was reached and did not accept this one."""
        return None if self.lost is None else limits_after_refusal(self.limits, self._refusal_code)

    def _send(self, message: MqttMessage, qos: int) -> int:
        retained = message.retained and self.limits.retain
        return self._client.publish(message.topic, message.payload, qos, retained).mid

    def _settle(self, numbers: Sequence[int], messages: Sequence[MqttMessage]) -> list[Refusal]:
        """Wait for the acknowledgements; return the refused messages.

        Raises:
            OSError: The connection is lost, and no message was refused before.
        """
        lost: OSError | None = None
        try:
            with self._change:
                for number in numbers:  # each has its time, since all of them may take long on a slow connection
                    self._wait(partial(self._answers.__contains__, number))
        except OSError as error:
            lost = error
        answers = [self._answers.pop(number, [None])[0] for number in numbers]
        refusals = [
            Refusal(message.topic, str(answer))
            for message, answer in zip(messages, answers, strict=True)
            if answer is not None and answer.value >= FAILURE_CODE
        ]
        if lost is not None and not refusals:  # some brokers refuse a message and then hang up
            raise lost
        return refusals

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait for an answer, with `_change` held.

        Raises:
            OSError: No answer comes.
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
            self._change.wait(left_s)

    def _wake(self) -> None:
        """Wake all waiting threads, with `_change` held."""
        self._change.notify_all()
        if self.lost is not None and not self.received.full():
            self.received.put_nowait(None)

    def _on_connect(self, client: object, __: object, ___: object, reason: ReasonCode, properties: Any) -> None:
        with self._change:
            if client is not self._client:
                return
            self._connected = not reason.is_failure
            if reason.is_failure:
                self._refusal_code = reason.value
                self.lost = f"the broker refuses the connection: {reason}"
                self._wake()
                return
            allowed = getattr(properties, "ReceiveMaximum", IN_FLIGHT)
            self._batch_messages = BATCH_MESSAGES if allowed >= IN_FLIGHT else allowed
            self.limits = limits_of_connack(self.limits, properties)
            self._wake()

    def _on_disconnect(self, client: object, __: object, ___: object, reason: ReasonCode, ____: object) -> None:
        with self._change:
            if client is not self._client:
                return
            self.lost = self.lost or f"the connection to the broker was lost: {reason}"
            self._wake()

    def _on_publish(self, _: object, __: object, number: int, reason: ReasonCode, ___: object) -> None:
        with self._change:
            self._answers[number] = [reason]
            self._wake()

    def _on_subscribe(self, _: object, __: object, number: int, reasons: Sequence[ReasonCode], ___: object) -> None:
        with self._change:
            self._answers[number] = reasons
            self._wake()

    def _on_message(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        if self.received.full():
            self.dropped_messages += 1
        else:
            self.received.put_nowait(MqttMessage(message.topic, bytes(message.payload), message.retain, time.time_ns()))
