"""Events during changes of the clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import ClockCorrection, SourceNotice
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from support.engine_harness import BLOCK_SAMPLES, GOOD, MemorySource, engine_context
from support.fakes import BandClassifier, silence, tone
from support.memory_logger import MemoryLogger


@dataclass(slots=True)
class Moved(MemorySource):
    """A continuous tone whose times are corrected every second."""

    shifts_ns: tuple[int, ...] = ()

    def blocks(self) -> Iterator[Block | SourceNotice]:  # type: ignore[override]
        start_unix_ns = 0
        for second in range(2 * len(self.shifts_ns) + 1):
            if second % 2:
                start_unix_ns += self.shifts_ns[second // 2]
                yield ClockCorrection("clock_step", self.shifts_ns[second // 2], start_unix_ns)
            yield GOOD
            for first in range(second * self.rate_hz, (second + 1) * self.rate_hz, BLOCK_SAMPLES):
                yield Block(tone(500, 0.1), self.rate_hz, first)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-7 * 10**10, 10**13), min_size=1, max_size=4))
def test_an_event_has_one_id_and_ordered_times_for_any_clock_change(shifts_ns: list[int]) -> None:
    context, sink = engine_context(BandClassifier())
    Engine(context, MemoryLogger()).run(
        [SourceSession(Moved("mic", silence(0), waits=True, shifts_ns=tuple(shifts_ns)))]
    )
    lines = [line for line in sink.lines if line["type"] in ("hello", "start", "update", "end", "stats")]
    assert [line["type"] for line in lines][:2] == ["hello", "start"]
    assert lines[-2]["type"] == "end"
    events = lines[1:-1]
    assert len({event["id"] for event in events}) == len({event["onset"] for event in events}) == 1
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert events[-1]["offset"] >= events[-1]["onset"]
    assert events[-1]["duration_s"] == pytest.approx(2 * len(shifts_ns) + 1, abs=0.2)
    assert [line["shift_ms"] for line in sink.of("health")] == [round(shift / 1e6) for shift in shifts_ns]


YEAR_NS = 365 * 86_400 * 10**9


@pytest.mark.parametrize("back_ns", [10 * YEAR_NS, YEAR_NS, 3600 * 10**9, 301 * 10**9])
def test_a_clock_that_is_set_back_by_more_than_minutes_ends_the_events_and_begins_a_new_stream(back_ns: int) -> None:
    context, sink = engine_context(BandClassifier())
    source = Moved("mic", silence(0), waits=True, shifts_ns=(10 * YEAR_NS, -back_ns))
    Engine(context, MemoryLogger()).run([SourceSession(source)])
    lines = [(line["type"], line.get("reason")) for line in sink.lines if line["type"] != "update"]
    assert lines == [
        ("hello", None),
        ("start", None),
        ("health", "clock_step"),
        ("end", "clock_set"),
        ("health", "clock_step"),
        ("hello", None),
        ("start", None),
        ("end", "end_of_stream"),
        ("stats", None),
    ]
    first, second = sink.of("start")
    assert first["id"] != second["id"]
    right_unix_s = (10 * YEAR_NS - back_ns) / 1e9
    for line in (sink.of("hello")[1], second, sink.of("end")[1]):
        assert 0 <= datetime.fromisoformat(line["time"]).timestamp() - right_unix_s <= 10


def test_small_steps_back_that_add_up_begin_a_new_stream_too() -> None:
    context, sink = engine_context(BandClassifier())
    shifts_ns = (-200 * 10**9, -200 * 10**9)
    Engine(context, MemoryLogger()).run([SourceSession(Moved("mic", silence(0), waits=True, shifts_ns=shifts_ns))])
    assert len(sink.of("hello")) == 2
    assert [line["reason"] for line in sink.of("end")] == ["clock_set", "end_of_stream"]


def test_the_latency_of_an_event_uses_the_corrected_clock() -> None:
    context, sink = engine_context(BandClassifier())
    hour_ns = 3_600_000_000_000
    Engine(context, MemoryLogger()).run([SourceSession(Moved("mic", silence(0), waits=True, shifts_ns=(hour_ns,)))])
    assert max(line["latency_ms"] for line in [*sink.of("update"), *sink.of("end")]) < 10_000
