"""A paused source: its sound is discarded and counted, and the source can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest

from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.core.records.source import AudioFault, AudioQuality, SourceInfo, SourceStateChange
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from support.engine_harness import CollectingSink, engine_context
from support.fakes import SMALL_SPEC, BandClassifier, tone
from support.memory_logger import MemoryLogger

RATE_HZ = SMALL_SPEC.rate_hz


@dataclass(slots=True)
class Switched:
    """Seconds of a tone, with actions before some of them."""

    seconds: int
    before: dict[int, Callable[[], object]] = field(default_factory=dict)
    start_unix_ns: int = 0

    @property
    def info(self) -> SourceInfo:
        return SourceInfo("mic", "memory", RATE_HZ, 1, supports_backpressure=True)

    def blocks(self) -> Iterator[Block]:
        for second in range(self.seconds):
            self.before.get(second, lambda: None)()
            for tenth in range(10):
                yield Block(tone(500, 0.1), RATE_HZ, second * RATE_HZ + tenth * RATE_HZ // 10)

    def stop(self) -> None:
        pass


def run(seconds: int, switches: dict[int, bool]) -> tuple[CollectingSink, list[WindowResult]]:
    context, sink = engine_context(BandClassifier())
    readings: list[WindowResult] = []
    context.live.subscribe(readings.append)
    engine = Engine(context, MemoryLogger())
    source = Switched(seconds)
    source.before = {second: lambda on=on: engine.set_listening("mic", listen=on) for second, on in switches.items()}  # type: ignore[misc]
    engine.run([SourceSession(source)])
    return sink, readings


def test_listeners_get_each_block_but_those_of_a_pause() -> None:
    context, _ = engine_context(BandClassifier())
    heard: list[int] = []
    context.live.subscribe_sound("mic", lambda block: heard.append(block.first_sample // RATE_HZ))
    engine = Engine(context, MemoryLogger())
    source = Switched(
        9, {3: lambda: engine.set_listening("mic", listen=False), 6: lambda: engine.set_listening("mic", listen=True)}
    )
    engine.run([SourceSession(source)])
    assert set(heard) >= {0, 1, 2, 7, 8}
    assert not {4, 5} & set(heard)


def test_a_pause_ends_events_and_becomes_a_gap() -> None:
    sink, readings = run(9, {3: False, 6: True})
    events = [
        (line["type"], line.get("state") or line.get("reason")) for line in sink.lines if line["type"] != "update"
    ]
    assert events == [
        ("hello", None),
        ("start", None),
        ("end", "paused"),
        ("health", "paused"),
        ("health", "resumed"),
        ("gap", "paused"),
        ("start", None),
        ("end", "end_of_stream"),
        ("stats", None),
    ]
    gap, stats = sink.of("gap")[0], sink.of("stats")[0]
    assert gap["duration_s"] == pytest.approx(3, abs=0.2), "blocks are handed over some at a time"
    assert (stats["duration_s"], stats["lost_s"]) == (9.0, gap["duration_s"])
    ends_s = np.array([reading.end_unix_ns / 1e9 for reading in readings])
    window_s = SMALL_SPEC.window_samples / RATE_HZ
    assert not ((ends_s > 3.2 + window_s) & (ends_s < 5.8)).any(), "no window lies in what was thrown away"
    assert sink.of("start")[1]["onset"] >= gap["time"]


def test_a_source_that_ends_while_it_is_paused_accounts_for_the_pause() -> None:
    sink, _ = run(6, {3: False})
    gap, stats = sink.of("gap")[0], sink.of("stats")[0]
    assert gap["reason"] == "paused"
    assert gap["duration_s"] == stats["lost_s"] == pytest.approx(3, abs=0.2)
    assert stats["duration_s"] == 6.0


def quality(level_dbfs: float, *, changed: bool) -> AudioQuality:
    faults: tuple[AudioFault, ...] = ("quiet",) if level_dbfs < -60 else ()
    return AudioQuality(faults, level_dbfs, level_dbfs, 0.1, 0.0, 0.0, False, None, changed=changed)


def test_no_line_has_a_measurement_of_a_pause_and_a_fault_that_began_in_it_is_reported_later() -> None:
    context, sink = engine_context(BandClassifier())
    engine = Engine(context, MemoryLogger())
    source = Switched(9)
    session = SourceSession(source)
    notices: dict[int, AudioQuality] = {
        4: quality(-70, changed=True),
        6: quality(-71, changed=False),  # measured in part before the source was resumed
        7: quality(-72, changed=False),
        8: quality(-73, changed=False),
    }

    def before(second: int) -> None:
        if second in (3, 5):
            engine.set_listening("mic", listen=second == 5)
        if second in notices:
            [state] = engine._sources
            engine._inbox.put(partial(engine.enqueue_notice, state, notices[second]))

    source.before = {second: partial(before, second) for second in range(9)}
    engine.run([session])
    assert [line["level_dbfs"] for line in sink.of("health") if "level_dbfs" in line] == [-72.0]


def test_a_source_that_is_lost_and_resumed_stays_lost() -> None:
    context, _ = engine_context(BandClassifier())
    engine = Engine(context, MemoryLogger())
    source = engine.add_source(SourceSession(Switched(1)))
    for notice in (
        SourceStateChange("lost", "absent", "mic is lost."),
        SourceStateChange("paused", "asked", "mic is paused."),
        SourceStateChange("resumed", "asked", "mic is resumed."),
    ):
        engine.enqueue_notice(source, notice)
    assert source.state == "lost"


def test_pausing_twice_or_an_unknown_source_has_no_effect() -> None:
    sink, _ = run(4, {1: True, 2: True})
    assert sink.of("health") == []
    assert sink.of("gap") == []


def test_each_window_is_published_and_has_features_only_for_subscribers_to_features() -> None:
    _, readings = run(2, {})
    assert len(readings) == 17
    assert readings[0].labels == ("low", "high")
    assert readings[-1].windows == 17
    assert readings[-1].processed_s == pytest.approx(2.0)
    assert all(reading.features is None for reading in readings)
    context, _ = engine_context(BandClassifier())
    features_wanted: list[WindowResult] = []
    leave = context.live.subscribe(features_wanted.append, features=True)
    Engine(context, MemoryLogger()).run([SourceSession(Switched(1))])
    assert features_wanted[0].features is not None
    leave()
    leave()
    assert not context.live.features_wanted
