"""What a sink has around it in the daemon: a journal, a board, and a diary that can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from soundwatch.daemon.core.types import EventType
from soundwatch.daemon.events.schema import UNNUMBERED, EventLine, HelloLine, SourceHealthLine
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.store import MEMORY, JournalStore, RetentionLimits
from soundwatch.daemon.sinks.context import SinkConfig, SinkContext, open_sink, parse_sink
from soundwatch.daemon.sinks.dispatcher import SinkDispatcher, SinkWorker
from soundwatch.daemon.status.live import LiveFeed
from soundwatch.daemon.status.snapshot import StatusTracker
from support.memory_logger import MemoryLogger
from support.mosquitto import wait_until

TIME = "2026-11-22T08:15:02.418Z"
CLASSES = ("dog_bark", "siren")


class Room:
    """A daemon without ears.

    Args:
        path: The journal's file; none where it is left out.
        sources: What is listened to.
        classes: What is listened for.
        node: The machine's name.
    """

    def __init__(
        self,
        path: Path | Literal[":memory:"] = MEMORY,
        sources: tuple[str, ...] = ("mic0",),
        classes: tuple[str, ...] = CLASSES,
        node: str = "edge1",
    ) -> None:
        self.node = node
        self.log = MemoryLogger()
        self.switched: list[tuple[str, bool]] = []
        self.notice = StatusTracker(sources)
        self.live = LiveFeed()
        self.classes = classes
        self.journal = Journal(JournalStore(path), RetentionLimits(1e9, 64_000_000), node, self.log, self.notice.read)
        self.outlets = SinkDispatcher(self.log, lambda _: None)
        self.around = SinkContext(
            node=node,
            labels=CLASSES,
            board=lambda: self.notice.board,
            live=self.live,
            switch=lambda source, listen: self.switched.append((source, listen)),
            log=self.log,
            classes=lambda: self.classes,
            after=self.journal.after,
            last_seq=lambda: self.journal.last_seq,
            journal=self.journal.store.identity(),
            model=lambda: "double@sha256:abababababab",
            provider=lambda: "DoubleProvider",
        )

    def open(self, text: SinkConfig) -> SinkWorker:
        """Hand lines to a sink from now on."""
        opened = open_sink(parse_sink(text), self.around)
        return self.outlets.add(opened.sink, self.journal, durable=opened.durable, most=opened.most)

    def event(self, type_: EventType, id_: str = "A", class_: str = "dog_bark", source: str = "mic0") -> None:
        """Something is heard."""
        over = type_ == "end"
        self.journal.append(
            EventLine(
                type=type_,
                seq=UNNUMBERED,
                id=id_,
                time=TIME,
                node=self.node,
                source=source,
                class_=class_,
                class_id=CLASSES.index(class_),
                score=0.93,
                peak_score=0.95,
                level_dbfs=-31.4,
                onset=TIME,
                offset=TIME if over else None,
                duration_s=13.0 if over else None,
                reason="decay" if over else None,
                latency_ms=1720,
                model="double@sha256:abababababab",
                provider="DoubleProvider",
            )
        )

    def hello(self, source: str = "mic0") -> None:
        """A source is heard for the first time."""
        self.journal.append(
            HelloLine(
                seq=UNNUMBERED,
                time=TIME,
                node=self.node,
                source=source,
                stream_start=TIME,
                version="0",
                model="double@sha256:abababababab",
                provider="DoubleProvider",
                classes=CLASSES,
                thresholds=dict.fromkeys(CLASSES, 0.5),
                description="a double",
                source_rate_hz=8000,
                source_channels=1,
                window_s=0.4,
                hop_s=0.1,
            )
        )

    def pause(self, source: str = "mic0") -> None:
        """A source is paused."""
        self.journal.append(
            SourceHealthLine(
                seq=UNNUMBERED,
                time=TIME,
                node=self.node,
                source=source,
                state="paused",
                reason="asked",
                detail="mic0 is paused.",
                away_s=0.0,
                missed_s=0.0,
            )
        )

    def wait_for(self, outlet: SinkWorker) -> None:
        """Wait until a sink has taken all lines so far."""
        self.journal.flush()
        last_seq = self.journal.last_seq
        wait_until(lambda: outlet.state.delivered_seq >= last_seq, f"{outlet.state}")

    def sentences(self) -> list[str]:
        """What the diary says."""
        return [entry.event for entry in self.log.entries if entry.level != "debug"]

    def close(self) -> dict[str, int]:
        """End it as the daemon ends."""
        self.journal.flush()
        left = self.outlets.close()
        self.journal.close()
        return left


@pytest.fixture
def room() -> Iterator[Room]:
    """One, ended after the test."""
    made = Room()
    yield made
    made.close()
