"""Distributes journal lines, window results, spectrogram columns and levels to the subscribers of the live streams.

Conventions: each subscriber reads the journal from its own position, so no line is lost or repeated. Window results
and levels are encoded once for all subscribers. Each subscriber queues up to `MAX_PENDING_WINDOWS`; a slower one loses
the oldest ones and receives their count. All methods but `_on_lines`, `_on_window` and `_on_level` run in the server's
event loop.
Rule: without subscribers, the broadcaster is subscribed to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from soundwatch.daemon.events.level_schema import LevelLine
from soundwatch.daemon.events.notices import scores_line
from soundwatch.daemon.journal.queries.deletion import lost_lines
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.web.live.recent import RecentWindow, RecentWindows, joined_columns

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
        recent: Begin with the scores and the spectrogram of the last minute.
    """

    def __init__(self, seq: int, *, scores: bool, columns: bool, level: bool, recent: bool = False) -> None:
        self.seq = seq
        self.scores = scores
        self.columns = columns
        self.level = level
        self.recent = recent
        self.past: list[RecentWindow] = []
        self.window_number = 0
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
        recent: Windows of the last minute.
    """

    def __init__(self, view: DaemonView, recent: RecentWindows) -> None:
        self._view = view
        self._recent = recent
        self._subscribers: set[Subscriber] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unsubscribe: list[Callable[[], None]] = []
        self._windows = deque[RecentWindow](maxlen=MAX_PENDING_WINDOWS)  # from the engine's thread to the loop
        self._levels = deque[LevelLine](maxlen=MAX_PENDING_WINDOWS)  # from the engine's thread to the loop
        self._closing = False

    @property
    def full(self) -> bool:
        """No further subscriber is accepted."""
        return self._closing or len(self._subscribers) >= MAX_SUBSCRIBERS

    @contextlib.contextmanager
    def subscribed(self, subscriber: Subscriber) -> Iterator[None]:
        """Keep a subscriber registered within this context."""
        subscriber.window_number, past = self._recent.kept()
        subscriber.past = past if subscriber.recent else []
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
        for message in self._past(subscriber):
            yield message
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
        fields = {
            "type": "welcome",
            "boot": self._view.boot,
            "seq": subscriber.seq,
            "last_seq": last_seq,
            "known": known,
        }
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
        if lost := await asyncio.to_thread(lost_lines, journal.store, subscriber.seq, entries[0].seq):
            messages.insert(0, _message("lost", {"type": "lost", "lines": lost}))
        subscriber.seq = entries[-1].seq
        subscriber.wakeup.set()  # there may be more lines
        return messages

    def _update_subscriptions(self) -> None:
        """Subscribe to the journal, the windows and the levels while there are subscribers."""
        if bool(self._subscribers) == bool(self._unsubscribe):
            return
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe, self._recent.subscriber = [], None
        if not self._subscribers:
            return
        self._loop = asyncio.get_running_loop()
        self._recent.subscriber = self._on_window
        self._unsubscribe = [
            self._view.journal.subscribe(self._on_lines),
            self._view.live.subscribe_levels(self._on_level),
        ]

    def _on_lines(self) -> None:
        """Wake the subscribers; called in the journal's thread after new lines."""
        self._call_in_loop(self._wake_all)

    def _on_window(self, window: RecentWindow) -> None:
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

    def _send_window(self, window: RecentWindow) -> None:
        wanting = [subscriber for subscriber in self._subscribers if window.number > subscriber.window_number]
        if any(subscriber.scores for subscriber in wanting):
            scores = self._scores(window)
            for subscriber in wanting:
                if subscriber.scores:
                    subscriber.enqueue(scores)
        if window.columns is not None and any(subscriber.columns for subscriber in wanting):
            columns = Message("columns", msgspec.json.encode(window.columns))
            for subscriber in wanting:
                if subscriber.columns:
                    subscriber.enqueue(columns)

    def _past(self, subscriber: Subscriber) -> Iterator[Message]:
        """Yield the last minute for a new subscriber; the columns of a source are one message up to each gap."""
        past, subscriber.past = subscriber.past, []
        if subscriber.columns:
            for columns in joined_columns(past):
                yield Message("columns", msgspec.json.encode(columns))
        if subscriber.scores:
            yield from map(self._scores, past)

    def _scores(self, window: RecentWindow) -> Message:
        return Message("scores", msgspec.json.encode(scores_line(window.result, self._view.node)))


async def _wait_for(event: asyncio.Event) -> bool:
    """Wait until the event is set; return False if the heartbeat is due first."""
    try:
        await asyncio.wait_for(event.wait(), HEARTBEAT_S)
    except TimeoutError:
        return False
    return True


def _message(kind: Kind, fields: dict[str, object]) -> Message:
    return Message(kind, msgspec.json.encode(fields))
