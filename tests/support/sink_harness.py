"""The surroundings of a sink in the daemon: a journal, a snapshot, a dispatcher, and the real log in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.records.event import EventType
from soundwatch.daemon.events.health_schema import SourceHealthLine
from soundwatch.daemon.events.schema import UNNUMBERED, EventLine, HelloLine
from soundwatch.daemon.journal.entry import RetentionLimits
from soundwatch.daemon.journal.file.sqlite import MEMORY
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks.daemon_view import ActiveModel, DaemonView
from soundwatch.daemon.sinks.dispatcher import SinkDispatcher
from soundwatch.daemon.sinks.kinds import parse_sink, prepare_sink
from soundwatch.daemon.sinks.spec import PreparedSink, SinkConfig
from soundwatch.daemon.sinks.worker import SinkWorker
from soundwatch.daemon.status.live import LiveFeed
from soundwatch.daemon.status.snapshot import StatusTracker
from support.fakes import SMALL_CONTRACT
from support.memory_logger import MemoryLogger
from support.mosquitto import wait_until

TIME = "2026-11-22T08:15:02.418Z"
CLASSES = ("dog_bark", "siren")
CONTRACT = msgspec.structs.replace(SMALL_CONTRACT, labels=CLASSES, thresholds=dict.fromkeys(CLASSES, 0.5))
OPENING_S = 60.0


class SinkHarness:
    """A daemon without sources.

    Args:
        path: File of the journal; memory where it is left out.
        sources: Names of the sources.
        classes: Classes that are enabled.
        node: Name of the machine.
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
        self.status = StatusTracker(sources)
        self.live = LiveFeed()
        self.classes = classes
        self.journal = Journal(JournalStore(path), RetentionLimits(1e9, 64_000_000), node, self.log, self.status.apply)
        self.dispatcher = SinkDispatcher(self.log, lambda _: None)
        self.view = DaemonView(
            node=node,
            log=self.log,
            journal=self.journal,
            status=self.status,
            live=self.live,
            config=Config,
            model=lambda: ActiveModel(CONTRACT, "DoubleProvider", dict.fromkeys(self.classes, 0.5)),
            set_listening=lambda source, *, listen: self.switched.append((source, listen)),
            sinks=self.dispatcher.statuses,
        )

    @property
    def journal_id(self) -> str:
        """Identity of the journal."""
        return self.journal.store.identity()

    def prepare(self, text: SinkConfig) -> PreparedSink:
        """Prepare a sink."""
        return prepare_sink(parse_sink(text), self.view)

    def open(self, text: SinkConfig) -> SinkWorker:
        """Start a sink, and wait for its first attempt to open."""
        worker = self.dispatcher.add(self.prepare(text), self.journal)
        assert worker.wait_tried(OPENING_S)
        return worker

    def event(self, type_: EventType, id_: str = "A", class_: str = "dog_bark", source: str = "mic0") -> None:
        """Append a line of an event."""
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

    def hello(self, source: str = "mic0", description: str = "a double") -> None:
        """Append the first line of a source."""
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
                description=description,
                source_rate_hz=8000,
                source_channels=1,
                window_s=0.4,
                hop_s=0.1,
            )
        )

    def pause(self, source: str = "mic0") -> None:
        """Append a line of a paused source."""
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

    def wait_for(self, worker: SinkWorker) -> None:
        """Wait until a sink has taken all lines so far."""
        self.journal.flush()
        last_seq = self.journal.last_seq
        wait_until(lambda: worker.status.delivered_seq >= last_seq, f"{worker.status}")

    def logged(self) -> list[str]:
        """Return the events of the log, without details for finding a fault."""
        return [entry.event for entry in self.log.entries if entry.level != "debug"]

    def close(self) -> dict[str, int]:
        """End as the daemon ends."""
        self.journal.flush()
        left = self.dispatcher.close()
        self.journal.close()
        return left


@pytest.fixture
def harness() -> Iterator[SinkHarness]:
    """Yield a harness, ended after the test without waiting for sinks that fail."""
    made = SinkHarness()
    yield made
    made.journal.flush()
    made.dispatcher.close(0)
    made.journal.close()
