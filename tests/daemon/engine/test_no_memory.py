"""Allocations that fail in the engine's threads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.window import Features
from soundwatch.daemon.engine import emitter, engine, threads
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.inbox import Inbox
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.pipeline import pipeline
from support.engine_harness import MemorySource, engine_context, sound
from support.fakes import BandClassifier
from support.memory_logger import MemoryLogger

STAGES = [
    (engine, "coalesce_blocks"),
    (pipeline, "resample"),
    (pipeline, "window"),
    (pipeline, "mel"),
    (pipeline, "level_dbfs"),
    (threads, "classify_windows"),
    (emitter, "detect_events"),
]


@dataclass(slots=True)
class Stoppable(MemorySource):
    """Samples as a source that can be stopped."""

    stopped: bool = False

    def blocks(self) -> Iterator[Block]:
        return itertools.takewhile(lambda _: not self.stopped, MemorySource.blocks(self))

    def stop(self) -> None:
        self.stopped = True


def refuse(*_: object, **__: object) -> None:
    raise MemoryError("Unable to allocate 86.4 KiB for an array")


@pytest.mark.parametrize(("module", "stage"), STAGES, ids=[stage for _, stage in STAGES])
def test_an_allocation_that_fails_in_any_stage_ends_the_engine_and_its_threads(
    monkeypatch: pytest.MonkeyPatch, module: object, stage: str
) -> None:
    context, _ = engine_context(BandClassifier())
    listening = Engine(context, MemoryLogger())
    monkeypatch.setattr(module, stage, refuse)
    with pytest.raises(MemoryError, match="Unable to allocate"):
        listening.run([SourceSession(Stoppable(f"mic{number}", sound(300), waits=True)) for number in range(2)])
    assert not any(thread.is_alive() for thread in listening._threads)


class Full:
    """A queue that has no memory for a notification, and takes sound that the source still delivers."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def put(self, work: object) -> None:
        if work is None:
            self.asked.set()
            raise MemoryError

    def get(self, timeout: float) -> Callable[[], None] | None:
        del timeout
        self.asked.wait()
        return None


def test_a_thread_that_has_no_memory_to_notify_the_engine_ends_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(classifier: Classifier, windows: list[Features]) -> list[Scores]:
        monkeypatch.setattr(listening._inbox, "_work", full)
        raise ValueError("the first failure")

    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # the failed notification
    monkeypatch.setattr(threads, "classify_windows", fail)
    context, _ = engine_context(BandClassifier())
    listening, full = Engine(context, MemoryLogger()), Full()
    with pytest.raises(ValueError, match="the first failure"):
        listening.run([SourceSession(Stoppable("mic0", sound(300), waits=True))])


def test_the_engine_sees_a_failure_before_the_work_that_waits() -> None:
    inbox, done = Inbox(), list[int]()
    inbox.put(lambda: done.append(1))
    inbox.run_next(0)
    inbox.run_next(0)  # nothing waits
    inbox.put(lambda: done.append(2))
    inbox.notify(MemoryError())
    with pytest.raises(MemoryError):
        inbox.run_next(0)
    assert done == [1]
