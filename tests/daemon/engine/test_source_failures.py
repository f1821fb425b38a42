"""Sources that fail in ways that nobody foresaw, as without memory or file descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from soundwatch.daemon.capture.monitoring.reconnect import ReconnectingSource
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceStateChange
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from support.engine_harness import MemorySource, engine_context, sound
from support.fakes import BandClassifier
from support.memory_logger import MemoryLogger

FAILURES = [
    OSError(24, "Too many open files"),
    MemoryError(),
    ImportError("cannot import name 'idna'"),
    LookupError("unknown encoding: idna"),  # what getaddrinfo makes of an import without a file descriptor
    RuntimeError("can't start new thread"),
]


@dataclass(slots=True)
class Failing(MemorySource):
    """A source that fails after its sound."""

    error: Exception | None = None

    def blocks(self) -> Iterator[Block]:
        yield from MemorySource.blocks(self)
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_source_that_fails_in_an_unforeseen_way_ends_alone(error: Exception) -> None:
    context, kept = engine_context(BandClassifier())
    failing = SourceSession(Failing("mic0", sound(300), waits=True, error=error))
    log = MemoryLogger()
    Engine(context, log).run([failing, SourceSession(MemorySource("mic1", sound(300), waits=True))])
    assert type(error).__name__ in str(failing.failure)
    assert {line["source"] for line in kept.of("end")} == {"mic0", "mic1"}
    assert [fields["source"] for fields in log.fields("source_failed")] == ["mic0"]


@pytest.mark.slow
@pytest.mark.parametrize("error", FAILURES[::3], ids=lambda error: type(error).__name__)
def test_a_live_source_that_fails_in_an_unforeseen_way_is_opened_again(error: Exception) -> None:
    attempts = iter([error, SourceError("absent"), None])

    def connect() -> MemorySource:
        failure = next(attempts)
        if failure is not None:
            raise failure
        return MemorySource("mic0", sound(300), waits=True)

    source = ReconnectingSource(Failing("mic0", sound(300), waits=True, error=error), connect)
    seen = []
    for item in source.blocks():
        if isinstance(item, SourceStateChange):
            seen.append(item)
            if item.state == "back" and len(seen) > 1:
                source.stop()
    lost, back = seen[-2:]
    assert (lost.state, back.state) == ("lost", "back")
    assert f"{type(error).__name__}" in lost.detail
