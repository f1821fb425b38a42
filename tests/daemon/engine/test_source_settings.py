"""Settings of single sources in one engine, and their change while a source runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.source import ClassConfig, SourceConfig, SourceDetectionConfig
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.detection.rules import COMMON, resolve_sources
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from support.engine_harness import DETECTION, CollectingSink, MemorySource, engine_context, sound
from support.fakes import SMALL_CONTRACT, SMALL_SPEC, BandClassifier, tone
from support.memory_logger import MemoryLogger


def context_with(**sources: SourceConfig) -> tuple[EngineContext, CollectingSink]:
    context, sink = engine_context(BandClassifier())
    return with_sources(context, **sources), sink


def with_sources(context: EngineContext, **sources: SourceConfig) -> EngineContext:
    rules = resolve_sources(Config(detection=DETECTION, sources=sources), SMALL_CONTRACT)
    del rules[COMMON]
    return replace(context, sources=rules)


def deaf_to(label: str) -> SourceConfig:
    return SourceConfig(detection=SourceDetectionConfig(classes={label: ClassConfig(enabled=False)}))


def test_each_source_has_its_own_rules_and_names_them_in_hello() -> None:
    context, sink = context_with(street=deaf_to("low"))
    sources = [SourceSession(MemorySource(name, sound(500), waits=True)) for name in ("street", "yard")]
    Engine(context, MemoryLogger()).run(sources)
    assert {line["source"] for line in sink.of("start")} == {"yard"}
    thresholds = {line["source"]: line["thresholds"] for line in sink.of("hello")}
    assert thresholds == {"street": {"high": 0.5}, "yard": {"low": 0.5, "high": 0.5}}


def test_a_replay_has_the_settings_of_the_source_of_its_name() -> None:
    context, sink = context_with(street=deaf_to("low"))
    SourceSession(MemorySource("street", sound(500))).replay(context)
    SourceSession(MemorySource("yard", sound(500))).replay(context)
    assert {line["source"] for line in sink.of("start")} == {"yard"}


@pytest.mark.parametrize("live", [True, False])
def test_a_gain_changes_scores_and_not_levels(live: bool) -> None:
    clear = SourceDetectionConfig(threshold=0.8)
    context, sink = context_with(
        quiet=SourceConfig(gain_db=-60.0, detection=clear), plain=SourceConfig(detection=clear)
    )
    for name in ("quiet", "plain"):
        session = SourceSession(MemorySource(name, sound(500), waits=True))
        Engine(context, MemoryLogger()).run([session]) if live else session.replay(context)
    assert {line["source"] for line in sink.of("start")} == {"plain"}
    louder, sink = context_with(plain=SourceConfig(), louder=SourceConfig(gain_db=3.0))
    for name in ("plain", "louder"):
        SourceSession(MemorySource(name, sound(500), waits=True)).replay(louder)
    plain, with_gain = sink.of("start")
    assert with_gain["level_dbfs"] == pytest.approx(plain["level_dbfs"], abs=0.2)


def test_a_high_pass_removes_a_hum_from_scores() -> None:
    context, sink = context_with(
        yard=SourceConfig(high_pass_hz=2000.0, gain_db=-40.0), plain=SourceConfig(gain_db=-40.0)
    )
    for name in ("yard", "plain"):
        SourceSession(MemorySource(name, sound(100), waits=True)).replay(context)
    assert {line["source"] for line in sink.of("start")} == {"plain"}


@dataclass(slots=True)
class Seconds:
    """Seconds of a tone, with an action before some of them."""

    before: dict[int, Callable[[], object]] = field(default_factory=dict)
    start_unix_ns: int = 0

    @property
    def info(self) -> SourceInfo:
        return SourceInfo("mic", "memory", SMALL_SPEC.rate_hz, 1, supports_backpressure=True)

    def blocks(self) -> Iterator[Block]:
        for second in range(12):
            self.before.get(second, lambda: None)()
            for tenth in range(10):
                yield Block(tone(500, 0.1), SMALL_SPEC.rate_hz, second * SMALL_SPEC.rate_hz + tenth * 800)

    def stop(self) -> None:
        pass


def test_other_settings_of_a_running_source_lose_no_sample() -> None:
    context, sink = context_with(mic=SourceConfig())
    log = MemoryLogger()
    engine = Engine(context, log)
    source = Seconds()
    source.before = {
        4: lambda: engine.swap_model(with_sources(context, mic=deaf_to("low"))),
        8: lambda: engine.swap_model(with_sources(context, mic=SourceConfig(gain_db=1.0, high_pass_hz=50.0))),
    }
    engine.run([SourceSession(source)])
    [stats] = sink.of("stats")
    assert (stats["lost_s"], stats["duration_s"]) == (0.0, 12.0)
    assert sink.of("gap") == []
    ends = [line["reason"] for line in sink.of("end")]
    assert ends == ["decay", "end_of_stream"], "the class is disabled for a time, and heard again"
