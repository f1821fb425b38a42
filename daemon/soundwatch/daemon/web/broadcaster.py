"""Who watches live, and what each has yet to be sent.

Conventions: lines come from the journal, from each viewer's own place, so none is lost or told twice however slow he
is.
Readings are encoded once for all, and wait in `WAITING_READINGS`; one who is slower misses the oldest, and is told how
many. All but `_news` and `_notice` run in the server's loop.
Rule: while nobody watches, neither the journal nor the engine is listened to.
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
from soundwatch.daemon.events.encoder import scores_line
from soundwatch.daemon.web.context import WebContext
from soundwatch.daemon.web.spectrogram import columns_line

MOST_VIEWERS: Final = 16
WAITING_READINGS: Final = 64
BATCH_LINES: Final = 200
HEARTBEAT_S: Final = 15.0

Kind = Literal["welcome", "line", "scores", "columns", "lost", "missed", "heartbeat"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to a viewer.

    Attributes:
        kind: Of what.
        data: JSON.
        seq: A line's number.
    """

    kind: Kind
    data: bytes
    seq: int | None = None


class Subscriber:
    """One who watches.

    Args:
        seq: The last line that he has.
        scores: Whether he wants each window's scores and level.
        columns: Whether he wants the spectrogram.
    """

    def __init__(self, seq: int, *, scores: bool, columns: bool) -> None:
        self.seq = seq
        self.scores = scores
        self.columns = columns
        self.readings = deque[Message]()
        self.missed = 0
        self.news = asyncio.Event()

    def take(self, message: Message) -> None:
        """Line up a reading for him, in place of his oldest where too many wait."""
        if len(self.readings) >= WAITING_READINGS:
            self.readings.popleft()
            self.missed += 1
        self.readings.append(message)
        self.news.set()


class Broadcaster:
    """All viewers.

    Args:
        view: What there is to see.
    """

    def __init__(self, view: WebContext) -> None:
        self.boot = uuid.uuid4().hex
        self._view = view
        self._viewers: set[Subscriber] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: list[Callable[[], None]] = []
        self._readings = deque[WindowResult](maxlen=WAITING_READINGS)  # from the engine's thread to the loop
        self._end_samples: dict[str, int] = {}
        self._pictured = False
        self._closing = False

    @property
    def full(self) -> bool:
        """Whether no more can watch."""
        return self._closing or len(self._viewers) >= MOST_VIEWERS

    @contextlib.contextmanager
    def watching(self, viewer: Subscriber) -> Iterator[None]:
        """While this lasts, he watches."""
        self._viewers.add(viewer)
        self._listen()
        try:
            yield
        finally:
            self._viewers.discard(viewer)
            self._listen()

    def close(self) -> None:
        """Send all viewers away."""
        self._closing = True
        for viewer in self._viewers:
            viewer.news.set()

    async def messages(self, viewer: Subscriber) -> AsyncIterator[Message]:
        """All that he is to be sent, from the first to the end of the program."""
        yield self._welcome(viewer)
        while not self._closing:
            viewer.news.clear()
            sent = False
            for message in await self._lines(viewer):
                yield message
                sent = True
            while viewer.readings:
                if viewer.missed:
                    yield _message("missed", {"type": "missed", "readings": viewer.missed})
                    viewer.missed = 0
                yield viewer.readings.popleft()
                sent = True
            if not sent and not await _waited(viewer.news):
                yield _message("heartbeat", {"type": "heartbeat", "seq": viewer.seq})

    def _welcome(self, viewer: Subscriber) -> Message:
        """Where he begins: a number that this journal never gave is another journal's."""
        last_seq = self._view.journal.last_seq
        known = viewer.seq <= last_seq
        viewer.seq = min(viewer.seq, last_seq)
        told = {"type": "welcome", "boot": self.boot, "seq": viewer.seq, "last_seq": last_seq, "known": known}
        return _message("welcome", told)

    async def _lines(self, viewer: Subscriber) -> list[Message]:
        """The lines that he does not have yet."""
        journal = self._view.journal
        if journal.last_seq <= viewer.seq:
            return []
        entries = await asyncio.to_thread(journal.after, viewer.seq, BATCH_LINES)
        if not entries:
            return []
        messages = [Message("line", entry.line.rstrip(b"\n"), entry.seq) for entry in entries]
        if (lost := entries[0].seq - viewer.seq - 1) > 0:
            messages.insert(0, _message("lost", {"type": "lost", "lines": lost}))
        viewer.seq = entries[-1].seq
        viewer.news.set()  # there may be more
        return messages

    def _listen(self) -> None:
        """Listen to the journal and the engine as far as somebody wants it."""
        features_wanted = any(viewer.columns for viewer in self._viewers)
        if bool(self._viewers) == bool(self._leave) and features_wanted == self._pictured:
            return
        for leave in self._leave:
            leave()
        self._leave, self._pictured = [], features_wanted
        if not self._viewers:
            self._end_samples.clear()
            return
        self._loop = asyncio.get_running_loop()
        self._leave = [
            self._view.journal.listen(self._news),
            self._view.sink_context.live.watch(self._notice, pictures=features_wanted),
        ]

    def _news(self) -> None:
        """In the journal's thread: there are new lines."""
        self._soon(self._wake)

    def _notice(self, reading: WindowResult) -> None:
        """In the engine's thread: a window was classified."""
        self._readings.append(reading)
        self._soon(self._share)

    def _soon(self, what: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
            if self._loop is not None:
                self._loop.call_soon_threadsafe(what)

    def _wake(self) -> None:
        for viewer in self._viewers:
            viewer.news.set()

    def _share(self) -> None:
        while self._readings:
            self._share_one(self._readings.popleft())

    def _share_one(self, reading: WindowResult) -> None:
        if any(viewer.scores for viewer in self._viewers):
            line = scores_line(reading, self._view.sink_context.node)
            scores = Message("scores", msgspec.json.encode(line))
            for viewer in self._viewers:
                if viewer.scores:
                    viewer.take(scores)
        before = self._end_samples.get(reading.source)
        if (picture := columns_line(reading, self._view.contract.features, before)) is not None:
            assert reading.features is not None
            self._end_samples[reading.source] = reading.features.end_sample
            columns = Message("columns", msgspec.json.encode(picture))
            for viewer in self._viewers:
                if viewer.columns:
                    viewer.take(columns)


async def _waited(news: asyncio.Event) -> bool:
    """Whether there is news before the next heartbeat."""
    try:
        await asyncio.wait_for(news.wait(), HEARTBEAT_S)
    except TimeoutError:
        return False
    return True


def _message(kind: Kind, told: dict[str, object]) -> Message:
    return Message(kind, msgspec.json.encode(told))
