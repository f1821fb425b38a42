"""Collects the messages of all nodes from a broker: stores them, displays them, and requests lost lines again.

Conventions: one thread. A line is displayed once, after it is stored. The connection is retried after each loss. While
the store cannot be written, messages wait in a bounded queue; dropped lines are requested again later.
Rule: at most `MAX_REQUESTS` nodes have a pending request, so that their answers fit into the broker's queue.
Does not: track gaps (`gap_tracker.py`) or node states (`node_status.py`), or draw (`display.py`).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from soundwatch.daemon.core.errors import SinkError, SoundwatchError
from soundwatch.daemon.core.files.renewed import Renewed
from soundwatch.daemon.core.network.backoff import Backoff
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.text.foreign_json import JSON_ERRORS
from soundwatch.daemon.core.text.messages import failure_text
from soundwatch.daemon.fleet.database import database_error_text
from soundwatch.daemon.fleet.gap_tracker import GapTracker
from soundwatch.daemon.fleet.messages import (
    TOPICS,
    FleetMessage,
    LineMessage,
    ReportMessage,
    ResendReplyMessage,
    StatusMessage,
    parse_message,
    receive_batch,
)
from soundwatch.daemon.fleet.node_status import NodeStatus, with_line, with_report, with_status
from soundwatch.daemon.fleet.store import Batch, FleetStore
from soundwatch.daemon.sinks.mqtt.connection import Broker, MqttConnection, MqttMessage
from soundwatch.daemon.sinks.mqtt.topics import ROOT

MAX_PENDING_MESSAGES: Final = 100_000
BATCH_MESSAGES: Final = 2000
MAX_REQUESTS: Final = 4  # so that all answers together fit into a broker's queue, 1,000 messages in Mosquitto
REPLY_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.5
CLOSING_S: Final = 2.0  # for the messages that have arrived before the stop
CONNECTING: Final = "not connected yet"
CLEANUP_S: Final = 3600.0
FIRST_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 30.0
MAX_NODES: Final = 20_000


@dataclass(slots=True)
class CollectorCounts:
    """Message counts since the start of the program.

    Attributes:
        lines: New lines that were stored.
        repeats: Lines that the store already had.
        refused: Messages that could not be parsed.
        dropped: Messages that exceeded a limit; their lines are requested again.
        asked: Requests for lost lines.
    """

    lines: int = 0
    repeats: int = 0
    refused: int = 0
    dropped: int = 0
    asked: int = 0


class Collector:
    """State of a fleet.

    Args:
        broker: Broker that the nodes publish to, for the next connection.
        store: Store of the lines.
        show: Called with new lines after they are stored.
        log: The log.
        cleanup: Called once an hour in the collector's thread.
        past: Request the earlier lines of new nodes too.
        reply_timeout_s: Longest wait for the reply to a request.
    """

    def __init__(
        self,
        broker: Renewed[Broker],
        store: FleetStore,
        show: Callable[[Sequence[LineMessage]], object],
        log: Logger,
        cleanup: Callable[[], object] = lambda: None,
        *,
        past: bool = False,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self.nodes: dict[str, NodeStatus] = {node.name: node for node in store.nodes()}
        self.counts = CollectorCounts()
        self.failures: dict[str, str] = {"broker": CONNECTING}  # of the broker and the store
        self.changed = threading.Event()
        self._broker = broker
        self._store = store
        self._show = show
        self._log = log
        self._cleanup = cleanup
        self._reply_timeout_s = reply_timeout_s
        self._cleanup_at_s = time.monotonic()
        current = {node.name: node.report.journal for node in self.nodes.values() if node.report is not None}
        lost = {node.name: node.lost_lines for node in self.nodes.values()}
        self._gaps = GapTracker(store.coverages(), current, lost, past=past)
        self._client_id = f"{ROOT}-fleet-{secrets.token_hex(6)}"
        self._stopping = threading.Event()
        self._stop_by_s = 0.0
        self._pending_until_s: dict[str, float] = {}  # nodes with a pending request
        self._to_request: dict[str, None] = {}  # nodes whose gaps have to be checked, in order

    def stop(self) -> None:
        """Make `run` end; safe in a signal handler."""
        self._stop_by_s = time.monotonic() + CLOSING_S
        self._stopping.set()
        self._store.hurry(CLOSING_S)

    @property
    def stopping(self) -> bool:
        """`stop` was called."""
        return self._stopping.is_set()

    def run(self) -> None:
        """Collect until `stop` is called.

        Raises:
            SinkError: Lines cannot be printed.
        """
        backoff = Backoff(FIRST_PAUSE_S, MAX_PAUSE_S)
        while not self._stopping.is_set():
            try:
                connection = MqttConnection(self._broker.get(), self._client_id, None, MAX_PENDING_MESSAGES)
            except (OSError, SoundwatchError) as error:
                self._set_failure("broker", failure_text(error))
                self._stopping.wait(backoff.next_s())
                continue
            backoff.reset()
            try:
                if refused := connection.subscribe(TOPICS):
                    self._log.warning("subscription_refused", topics=", ".join(refused))
                self._set_failure("broker", None)
                self._serve(connection)
            except OSError as error:
                self._set_failure("broker", failure_text(error))
                self._stopping.wait(backoff.next_s())
            finally:
                connection.close()
                self._pending_until_s = {}

    def _serve(self, connection: MqttConnection) -> None:
        """Process messages while a connection lasts.

        Raises:
            OSError: The connection was lost.
        """
        dropped = 0
        while not self._stopping.is_set():
            self._apply_all(receive_batch(connection, BATCH_MESSAGES, POLL_S))
            self.counts.dropped += connection.dropped_messages - dropped
            dropped = connection.dropped_messages
            self._send_requests(connection)
            self._clean_up()
            if connection.lost is not None and connection.received.empty():
                raise ConnectionError(connection.lost)
        self._apply_all(receive_batch(connection, BATCH_MESSAGES, POLL_S))

    def _apply_all(self, messages: Sequence[MqttMessage]) -> None:
        """Update the state with messages, and store the new lines.

        After `stop`, messages that are not applied within `CLOSING_S` are left for the next start.
        """
        lines: list[LineMessage] = []
        changed: dict[str, None] = {}  # nodes with changes other than their active events
        for received in messages:
            if self._stopping.is_set() and time.monotonic() > self._stop_by_s:
                break
            message = self._parse(received)
            if message is not None:
                known = isinstance(message, LineMessage) and message.node in self.nodes
                self._apply(message, lines)
                node, lost_lines = self.nodes[message.node], self._gaps.lost_lines(message.node)
                if not known or lost_lines != node.lost_lines:
                    changed[message.node] = None
                    self.nodes[message.node] = replace(node, lost_lines=lost_lines)
        if not lines and not changed:
            return
        if not self._save(Batch(lines, *self._gaps.take_changed(), [self.nodes[name] for name in changed])):
            return
        self.counts.lines += len(lines)
        try:
            self._show(lines)
        except OSError as error:
            raise SinkError(f"Lines cannot be printed: {error.strerror}. All received lines are stored.") from error
        self.changed.set()

    def _parse(self, received: MqttMessage) -> FleetMessage | None:
        if not received.payload:  # a retained message was deleted
            return None
        try:
            message = parse_message(received)
            if message.node not in self.nodes and len(self.nodes) >= MAX_NODES:
                raise ValueError(f"there are {MAX_NODES} nodes already")
        except (ValueError, *JSON_ERRORS) as error:
            self.counts.refused += 1
            if self.counts.refused == 1:  # others are only counted
                self._log.warning("message_refused", topic=received.topic, error=str(error))
            return None
        return message

    def _apply(self, message: FleetMessage, lines: list[LineMessage]) -> None:
        """Update the state of a node, and append a new line to `lines`."""
        node = self.nodes.get(message.node, NodeStatus(message.node))
        match message:
            case LineMessage():
                new = self._gaps.add_line(message)
                if new:
                    lines.append(message)
                    node = with_line(node, message)
                elif new is None:
                    self.counts.dropped += 1
                    self._to_request[message.node] = None
                else:
                    self.counts.repeats += 1
            case StatusMessage():
                node = with_status(node, message)
                self._to_request[message.node] = None
            case ReportMessage():
                node = with_report(node, message)
                self._gaps.add_report(message.node, message.report)
                self._to_request[message.node] = None
            case ResendReplyMessage():
                self._pending_until_s.pop(message.node, None)
                self._gaps.add_reply(message.node, message.reply)
                self._to_request[message.node] = None
        self.nodes[message.node] = node

    def _save(self, batch: Batch) -> bool:
        """Write a batch to the store, and retry until it is written.

        Returns:
            False if the program ends first; the lines are then requested at the next start.
        """
        backoff = Backoff(FIRST_PAUSE_S, MAX_PAUSE_S)
        while True:
            try:
                self._store.save(batch)
            except (SQLAlchemyError, OSError) as error:
                self._set_failure("store", database_error_text(error))
                if self._stopping.wait(backoff.next_s()):
                    return False
            else:
                self._set_failure("store", None)
                return True

    def _clean_up(self) -> None:
        if time.monotonic() >= self._cleanup_at_s:
            self._cleanup_at_s = time.monotonic() + CLEANUP_S
            try:
                self._cleanup()
            except (SQLAlchemyError, OSError) as error:
                self._set_failure("store", database_error_text(error))

    def _send_requests(self, connection: MqttConnection) -> None:
        """Request lost lines."""
        now_s = time.monotonic()
        self._pending_until_s = {node: until_s for node, until_s in self._pending_until_s.items() if until_s > now_s}
        for node in list(self._to_request):
            if len(self._pending_until_s) >= MAX_REQUESTS:
                return
            del self._to_request[node]
            request = None if node in self._pending_until_s else self._gaps.next_request(node)
            if request is not None and self.nodes[node].status == "online":
                self._pending_until_s[node] = now_s + self._reply_timeout_s
                self.counts.asked += 1
                connection.publish_best_effort(MqttMessage(f"{ROOT}/{node}/resend", msgspec.json.encode(request)))

    def _set_failure(self, part: str, reason: str | None) -> None:
        """Record and log a failure of the broker or the store, or its end."""
        previous = self.failures.get(part)
        if reason is None and previous is not None:
            del self.failures[part]
            self._log.info(f"{part}_available")
        elif reason is not None:
            self.failures[part] = reason
            if previous in (None, CONNECTING):
                self._log.warning(f"{part}_unavailable", error=reason)
        self.changed.set()
