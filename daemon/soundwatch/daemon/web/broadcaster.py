"""Distributes journal lines, window results, spectrogram columns and levels to the subscribers of the live streams.

Conventions: each subscriber reads the journal from its own position, so no line is lost or repeated. Window results
and levels are encoded once for all subscribers. Each subscriber queues up to `MAX_PENDING_WINDOWS`; a slower one loses
the oldest ones and receives their count. All methods but `_on_lines`, `_on_window` and `_on_level` run in the server's
event loop.
Rule: without subscribers, the broadcaster is subscribed neither to the journal nor to the live feed.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from soundwatch.daemon.core.types import WindowResult
from soundwatch.daemon.events.level_schema import LevelLine
from soundwatch.daemon.events.notices import scores_line
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.web.spectrogram import columns_line

MAX_SUBSCRIBERS: Final = 16
MAX_PENDING_WINDOWS: Final = 64
BATCH_LINES: Final = 200
HEARTBEAT_S: Final = 15.0

Kind = Literal["welcome", "line", "scores", "columns", "level", "lost", "missed", "heartbeat"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream.

    Attributes:
        kind: Type of the message.
        data: JSON text.
        seq: Number of the line; None for other messages.
    """

    kind: Kind
    data: bytes
    seq: int | None = None


class Subscriber:
    """One connected stream client.

    Args:
        seq: Number of the last line that the client has.
        scores: Send the scores and the level of each window.
        columns: Send the spectrogram.
        level: Send the sound level of each second and minute.
    """

    def __init__(self, seq: int, *, scores: bool, columns: bool, level: bool) -> None:
        self.seq = seq
        self.scores = scores
        self.columns = columns
        self.level = level
        self.pending = deque[Message]()
        self.missed = 0
        self.wakeup = asyncio.Event()

    def enqueue(self, message: Message) -> None:
        """Queue the message of a window or a level; drop the oldest one when the queue is full."""
        if len(self.pending) >= MAX_PENDING_WINDOWS:
            self.pending.popleft()
            self.missed += 1
        self.pending.append(message)
        self.wakeup.set()


class Broadcaster:
    """All stream clients.

    Args:
        view: State of the daemon.
    """

    def __init__(self, view: DaemonView) -> None:
        self.boot = uuid.uuid4().hex
        self._view = view
        self._subscribers: set[Subscriber] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unsubscribe: list[Callable[[], None]] = []
        self._windows = deque[WindowResult](maxlen=MAX_PENDING_WINDOWS)  # from the engine's thread to the loop
        self._levels = deque[LevelLine](maxlen=MAX_PENDING_WINDOWS)  # from the engine's thread to the loop
        self._end_samples: dict[str, int] = {}
        self._features_wanted = False
        self._closing = False

    @property
    def full(self) -> bool:
        """No further subscriber is accepted."""
        return self._closing or len(self._subscribers) >= MAX_SUBSCRIBERS

    @contextlib.contextmanager
    def subscribed(self, subscriber: Subscriber) -> Iterator[None]:
        """Keep a subscriber registered within this context."""
        self._subscribers.add(subscriber)
        self._update_subscriptions()
        try:
            yield
        finally:
            self._subscribers.discard(subscriber)
            self._update_subscriptions()

    def close(self) -> None:
        """End the streams of all subscribers."""
        self._closing = True
        for subscriber in self._subscribers:
            subscriber.wakeup.set()

    async def messages(self, subscriber: Subscriber) -> AsyncIterator[Message]:
        """Yield the messages for a subscriber until the broadcaster closes."""
        yield self._welcome(subscriber)
        while not self._closing:
            subscriber.wakeup.clear()
            sent = False
            for message in await self._lines(subscriber):
                yield message
                sent = True
            while subscriber.pending:
                if subscriber.missed:
                    yield _message("missed", {"type": "missed", "readings": subscriber.missed})
                    subscriber.missed = 0
                yield subscriber.pending.popleft()
                sent = True
            if not sent and not await _wait_for(subscriber.wakeup):
                yield _message("heartbeat", {"type": "heartbeat", "seq": subscriber.seq})

    def _welcome(self, subscriber: Subscriber) -> Message:
        """Return the first message; a line number beyond this journal's last one is of another journal."""
        last_seq = self._view.journal.last_seq
        known = subscriber.seq <= last_seq
        subscriber.seq = min(subscriber.seq, last_seq)
        fields = {"type": "welcome", "boot": self.boot, "seq": subscriber.seq, "last_seq": last_seq, "known": known}
        return _message("welcome", fields)

    async def _lines(self, subscriber: Subscriber) -> list[Message]:
        """Return the next lines for a subscriber."""
        journal = self._view.journal
        if journal.last_seq <= subscriber.seq:
            return []
        entries = await asyncio.to_thread(journal.read_after, subscriber.seq, BATCH_LINES)
        if not entries:
            return []
        messages = [Message("line", entry.line.rstrip(b"\n"), entry.seq) for entry in entries]
        if (lost := entries[0].seq - subscriber.seq - 1) > 0:
            messages.insert(0, _message("lost", {"type": "lost", "lines": lost}))
        subscriber.seq = entries[-1].seq
        subscriber.wakeup.set()  # there may be more lines
        return messages

    def _update_subscriptions(self) -> None:
        """Subscribe to the journal and the live feed as far as the subscribers need them."""
        features_wanted = any(subscriber.columns for subscriber in self._subscribers)
        if bool(self._subscribers) == bool(self._unsubscribe) and features_wanted == self._features_wanted:
            return
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe, self._features_wanted = [], features_wanted
        if not self._subscribers:
            self._end_samples.clear()
            return
        self._loop = asyncio.get_running_loop()
        self._unsubscribe = [
            self._view.journal.subscribe(self._on_lines),
            self._view.live.subscribe(self._on_window, features=features_wanted),
            self._view.live.subscribe_levels(self._on_level),
        ]

    def _on_lines(self) -> None:
        """Wake the subscribers; called in the journal's thread after new lines."""
        self._call_in_loop(self._wake_all)

    def _on_window(self, window: WindowResult) -> None:
        """Queue a window for the subscribers; called in the engine's thread."""
        self._windows.append(window)
        self._call_in_loop(self._send_windows)

    def _on_level(self, level: LevelLine) -> None:
        """Queue a level for the subscribers; called in the engine's thread."""
        self._levels.append(level)
        self._call_in_loop(self._send_levels)

    def _call_in_loop(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
            if self._loop is not None:
                self._loop.call_soon_threadsafe(callback)

    def _wake_all(self) -> None:
        for subscriber in self._subscribers:
            subscriber.wakeup.set()

    def _send_windows(self) -> None:
        while self._windows:
            self._send_window(self._windows.popleft())

    def _send_levels(self) -> None:
        while self._levels:
            message = Message("level", msgspec.json.encode(self._levels.popleft()))
            for subscriber in self._subscribers:
                if subscriber.level:
                    subscriber.enqueue(message)

    def _send_window(self, window: WindowResult) -> None:
        if any(subscriber.scores for subscriber in self._subscribers):
            line = scores_line(window, self._view.node)
            scores = Message("scores", msgspec.json.encode(line))
            for subscriber in self._subscribers:
                if subscriber.scores:
                    subscriber.enqueue(scores)
        previous_end = self._end_samples.get(window.source)
        if (picture := columns_line(window, self._view.model().contract.features, previous_end)) is not None:
            assert window.features is not None
            self._end_samples[window.source] = window.features.end_sample
            columns = Message("columns", msgspec.json.encode(picture))
            for subscriber in self._subscribers:
                if subscriber.columns:
                    subscriber.enqueue(columns)


async def _wait_for(event: asyncio.Event) -> bool:
    """Wait until the event is set; return False if the heartbeat is due first."""
    try:
        await asyncio.wait_for(event.wait(), HEARTBEAT_S)
    except TimeoutError:
        return False
    return True


def _message(kind: Kind, fields: dict[str, object]) -> Message:
    return Message(kind, msgspec.json.encode(fields))
