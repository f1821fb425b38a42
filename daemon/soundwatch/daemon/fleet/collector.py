"""Gathers what machines say at a broker: keeps it, then shows it, and asks again for what got lost on the way.

Conventions: one thread. A line is shown once it is kept, and once only. The broker is looked for again whenever it is
lost; while the store cannot be written, what comes waits, bounded, and what finds no room is asked for again later.
Rule: `ASKED_AT_ONCE` machines are asked at a time, or those that come back together would drown the rest.
Does not: know what is missing (`fleet/gap_tracker.py`), where machines stand (`board.py`), or how all is drawn
(`view.py`).
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from soundwatch.daemon.core.backoff import Backoff
from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.fleet.gap_tracker import GapTracker, JournalCoverage, Key
from soundwatch.daemon.fleet.messages import (
    TOPICS,
    FleetMessage,
    LineMessage,
    ReportMessage,
    ResendReplyMessage,
    StatusMessage,
    parse_message,
)
from soundwatch.daemon.fleet.node_status import NodeStatus, with_line, with_report, with_status
from soundwatch.daemon.fleet.store import Batch, database_error_text
from soundwatch.daemon.sinks.mqtt.connection import Broker, MqttConnection, MqttMessage
from soundwatch.daemon.sinks.mqtt.topics import ROOT

HEARD_MESSAGES: Final = 100_000
BATCH_MESSAGES: Final = 2000
ASKED_AT_ONCE: Final = 4  # so that all answers together find room in a broker's queue, Mosquitto's 1,000
ANSWER_S: Final = 20.0
LOOK_S: Final = 0.5
CONNECTING: Final = "not connected yet"
TIDY_S: Final = 3600.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
MOST_NODES: Final = 20_000


class FleetStorage(Protocol):
    """What lines are kept in."""

    def keep(self, batch: Batch) -> None:
        """Keep all of it, or nothing."""

    def accounts(self) -> dict[Key, JournalCoverage]:
        """What is known to be here."""

    def nodes(self) -> list[NodeStatus]:
        """Every machine, as it was."""


@dataclass(slots=True)
class CollectorCounts:
    """What has come of all messages since the program began.

    Attributes:
        lines: New lines that were kept.
        repeats: Lines that were here already.
        refused: Messages that were none of ours.
        dropped: Messages that found no room; lines among them are asked for again.
        asked: Requests for lines that got lost.
    """

    lines: int = 0
    repeats: int = 0
    refused: int = 0
    dropped: int = 0
    asked: int = 0


class Collector:
    """Everything that is known of a fleet.

    Args:
        broker: Where machines publish.
        store: Where lines are kept.
        show: Called with lines that are new and kept.
        log: The log.
        tidy: Called once an hour, in the same thread.
        past: Whether a new machine's lines of before are wanted too.
    """

    def __init__(
        self,
        broker: Broker,
        store: FleetStorage,
        show: Callable[[Sequence[LineMessage]], object],
        log: Logger,
        tidy: Callable[[], object] = lambda: None,
        *,
        past: bool = False,
    ) -> None:
        self.nodes: dict[str, NodeStatus] = {node.name: node for node in store.nodes()}
        self.counts = CollectorCounts()
        self.trouble: dict[str, str] = {"broker": CONNECTING}  # and of the store
        self.news = threading.Event()
        self._broker = broker
        self._store = store
        self._show = show
        self._log = log
        self._tidy = tidy
        self._tidy_at_s = time.monotonic()
        current = {node.name: node.report.journal for node in self.nodes.values() if node.report is not None}
        self._accounts = GapTracker(store.accounts(), current, past=past)
        self._client_id = f"{ROOT}-fleet-{secrets.token_hex(6)}"
        self._stopping = threading.Event()
        self._asked: dict[str, float] = {}  # until when an answer is waited for
        self._asking: dict[str, None] = {}  # machines with something to be asked for, in order

    def stop(self) -> None:
        """Have `run` end. Safe in a signal handler."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stopping.is_set()

    def run(self) -> None:
        """Gather until it is stopped.

        Raises:
            SinkError: Nobody reads what is shown.
        """
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while not self._stopping.is_set():
            try:
                link = MqttConnection(self._broker, self._client_id, None, HEARD_MESSAGES)
            except OSError as error:
                self._trouble("broker", str(error))
                self._stopping.wait(backoff.next_s())
                continue
            backoff.reset()
            try:
                if refused := link.subscribe(TOPICS):
                    self._log.warning("the broker does not let soundwatch read topics", topics=", ".join(refused))
                self._trouble("broker", None)
                self._serve(link)
            except OSError as error:
                self._trouble("broker", str(error))
                self._stopping.wait(backoff.next_s())
            finally:
                link.close()
                self._asked = {}

    def _serve(self, link: MqttConnection) -> None:
        """What is to be done while a connection lasts.

        Raises:
            OSError: It does not last.
        """
        dropped = 0
        while not self._stopping.is_set():
            self._settle(self._heard(link))
            self.counts.dropped += link.dropped_messages - dropped
            dropped = link.dropped_messages
            self._ask(link)
            self._tidy_up()
            if link.lost is not None and link.heard.empty():
                raise ConnectionError(link.lost)
        self._settle(self._heard(link))

    def _heard(self, link: MqttConnection) -> list[MqttMessage]:
        """The next messages, at least one if any comes soon."""
        found: list[MqttMessage] = []
        try:
            first = link.heard.get(timeout=LOOK_S)
            while True:
                if first is not None:
                    found.append(first)
                if len(found) >= BATCH_MESSAGES:
                    return found
                first = link.heard.get_nowait()
        except queue.Empty:
            return found

    def _settle(self, messages: Sequence[MqttMessage]) -> None:
        """Take account of messages, and keep what is new."""
        lines: list[LineMessage] = []
        changed: dict[str, None] = {}  # in more than what they hear, which their lines say
        for message in messages:
            said = self._said(message)
            if said is not None:
                known = isinstance(said, LineMessage) and said.node in self.nodes
                self._take(said, lines)
                node, lost_lines = self.nodes[said.node], self._accounts.lost_lines(said.node)
                if not known or lost_lines != node.lost_lines:
                    changed[said.node] = None
                    self.nodes[said.node] = replace(node, lost_lines=lost_lines)
        if not lines and not changed:
            return
        if not self._keep(Batch(lines, self._accounts.changed(), [self.nodes[name] for name in changed])):
            return
        self.counts.lines += len(lines)
        try:
            self._show(lines)
        except OSError as error:
            raise SinkError(f"Lines cannot be printed: {error.strerror}. All that came is kept.") from error
        self.news.set()

    def _said(self, message: MqttMessage) -> FleetMessage | None:
        if not message.payload:  # a topic was emptied
            return None
        try:
            said = parse_message(message)
            if said.node not in self.nodes and len(self.nodes) >= MOST_NODES:
                raise ValueError(f"there are {MOST_NODES} machines already")
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            self.counts.refused += 1
            if self.counts.refused == 1:
                self._log.warning(
                    "a message is no machine's; others are only counted", topic=message.topic, error=str(error)
                )
            return None
        return said

    def _take(self, said: FleetMessage, lines: list[LineMessage]) -> None:
        """Take account of one thing that was said."""
        node = self.nodes.get(said.node, NodeStatus(said.node))
        match said:
            case LineMessage():
                if self._accounts.take(said):
                    lines.append(said)
                    node = with_line(node, said)
                else:
                    self.counts.repeats += 1
            case StatusMessage():
                node = with_status(node, said)
                self._asking[said.node] = None
            case ReportMessage():
                node = with_report(node, said)
                self._accounts.report(said.node, said.report)
                self._asking[said.node] = None
            case ResendReplyMessage():
                self._asked.pop(said.node, None)
                self._accounts.done(said.node, said.done)
                self._asking[said.node] = None
        self.nodes[said.node] = node

    def _keep(self, batch: Batch) -> bool:
        """Keep a batch, however long that takes.

        Returns:
            Whether it is kept; what is not, since the program ends, is asked for at the next start.
        """
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while True:
            try:
                self._store.keep(batch)
            except (SQLAlchemyError, OSError) as error:
                self._trouble("store", database_error_text(error))
                if self._stopping.wait(backoff.next_s()):
                    return False
            else:
                self._trouble("store", None)
                return True

    def _tidy_up(self) -> None:
        if time.monotonic() >= self._tidy_at_s:
            self._tidy_at_s = time.monotonic() + TIDY_S
            try:
                self._tidy()
            except (SQLAlchemyError, OSError) as error:
                self._trouble("store", database_error_text(error))

    def _ask(self, link: MqttConnection) -> None:
        """Ask machines for what got lost on the way."""
        now_s = time.monotonic()
        self._asked = {node: until_s for node, until_s in self._asked.items() if until_s > now_s}
        for node in list(self._asking):
            if len(self._asked) >= ASKED_AT_ONCE:
                return
            del self._asking[node]
            again = None if node in self._asked else self._accounts.wanted(node)
            if again is not None and self.nodes[node].status == "online":
                self._asked[node] = now_s + ANSWER_S
                self.counts.asked += 1
                link.mention(MqttMessage(f"{ROOT}/{node}/again", msgspec.json.encode(again)))

    def _trouble(self, of: str, reason: str | None) -> None:
        """Say a change of broker or store, once."""
        before = self.trouble.get(of)
        if reason is None and before is not None:
            del self.trouble[of]
            self._log.warning(f"the {of} is there")
        elif reason is not None:
            self.trouble[of] = reason
            if before in (None, CONNECTING):
                self._log.warning(f"the {of} is not to be had; it is tried again", error=reason)
        self.news.set()
