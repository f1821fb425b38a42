"""Sound that may wait before it is read."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.streams.connection import Connection
from soundwatch.daemon.capture.streams.network import NetworkSource
from soundwatch.daemon.core.errors import SourceError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no poll")


@pytest.fixture
def gathering() -> Iterator[tuple[NetworkSource, int]]:
    """A source that may leave an hour of sound unread, and the end of its pipe to write to, which holds 0.1 s."""
    read_from, write_to = os.pipe()
    os.write(write_to, bytes(1600))
    ends = [write_to]

    def close(*, received: bool) -> str:
        os.close(read_from)
        return "it was closed"

    def end() -> None:
        while ends:
            os.close(ends.pop())  # taken out first: the end of the pipe may wake another thread that ends it, too

    connection = Connection(read_from, close, gather_s=3600.0, longest_gather_s=3600.0, interrupt=end)
    yield NetworkSource("mic0", "pipe", lambda: connection, PcmFormat("s16le", 8000, 1)), write_to
    end()


def test_sound_that_may_wait_is_read_when_it_is_asked_for(gathering: tuple[NetworkSource, int]) -> None:
    source, write_to = gathering
    sound = source.blocks()
    first = next(sound)
    os.write(write_to, bytes(1600))
    source.gather_until(800)
    second = next(sound)
    assert [(block.first_sample, block.samples.shape[1]) for block in (first, second)] == [(0, 800), (800, 800)]
    source.stop()
    assert list(sound) == []


def test_an_end_that_has_passed_is_not_waited_for(gathering: tuple[NetworkSource, int]) -> None:
    source, write_to = gathering
    sound = source.blocks()
    next(sound)
    os.write(write_to, bytes(1600))
    source.gather_until(-8_000_000)
    assert next(sound).first_sample == 800
    source.stop()
    assert list(sound) == []


def test_the_end_of_a_source_is_noticed_while_its_sound_waits(gathering: tuple[NetworkSource, int]) -> None:
    source, _ = gathering
    sound = source.blocks()
    next(sound)
    source.gather_until(8_000_000)
    threading.Timer(0.05, source._connection.interrupt).start()
    with pytest.raises(SourceError, match="it was closed"):
        next(sound)
