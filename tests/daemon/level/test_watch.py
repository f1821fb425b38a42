"""Loud and silent places: the background, limits, and the events in the lines of the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from soundwatch.daemon.config.config import Config, DetectionConfig
from soundwatch.daemon.config.file import parse_config
from soundwatch.daemon.config.level import LevelConfig, LoudConfig, SilenceConfig
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.event import Event
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.time.clock import SampleClock
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.level.meter import SecondLevel
from soundwatch.daemon.level.tap import LevelMeter
from soundwatch.daemon.level.watch import LevelWatch, watch_rules, watch_thresholds
from support.cli_runner import VALIDATOR
from support.engine_harness import CollectingSink, MemorySource, engine_context
from support.fakes import SMALL_CONTRACT, BandClassifier, tone
from support.memory_logger import MemoryLogger

BOTH = LevelConfig(enabled=True, loud=LoudConfig(), silence=SilenceConfig(below_db=-80, min_s=2))
DETECTION = DetectionConfig(cooldown_s=1.0)


def utc() -> ZoneInfo:
    return ZoneInfo("UTC")


def watch_of(config: LevelConfig) -> LevelWatch:
    rules = watch_rules(config, config.classes, DETECTION, SMALL_CONTRACT)
    return LevelWatch(config, rules, SMALL_CONTRACT.features.rate_hz)


def second(number: int, *levels_db: float) -> SecondLevel:
    """A second of LAF values; one stands for all eight."""
    fast = tuple(10 ** (level / 10) for level in (levels_db if len(levels_db) > 1 else levels_db * 8))
    return SecondLevel((number + 1) * 48_000, 48_000, 48_000, fast[0], fast[0], fast[0], max(fast), max(fast), fast)


def watched(watch: LevelWatch, levels_db: Sequence[tuple[float, ...]], offset_db: float = 0.0) -> list[Event]:
    events = list[Event]()
    for number, levels in enumerate(levels_db):
        events += watch.add(second(number, *levels), offset_db)
    return events


LOUD_ONLY = LevelConfig(enabled=True, loud=LoudConfig())
DOOR = (-50.0, -50.0, -20.0, -24.0, -28.0, -32.0, -36.0, -40.0)  # a bang: LAF falls by 35 dB a second


def test_a_bang_over_the_background_is_loud() -> None:
    [start, end] = watched(watch_of(LOUD_ONLY), [(-50.0,)] * 60 + [DOOR] + [(-50.0,)] * 5)
    assert (start.type, start.label, start.class_id) == ("start", "loud", 2)
    assert start.onset_sample == 60 * 8000 + 2 * 1000
    assert (end.reason, end.offset_sample) == ("decay", 61 * 8000)
    assert start.peak_score == pytest.approx(0.5 + 15 / 40)


def test_before_the_background_is_known_nothing_is_loud() -> None:
    assert watched(watch_of(LOUD_ONLY), [(-50.0,)] * 10 + [DOOR] + [(-50.0,)] * 5) == []


def test_rain_that_sets_in_slowly_is_background_and_no_event() -> None:
    rising = [(-60 + 20 * number / 600,) for number in range(600)]  # 20 dB in ten minutes
    assert watched(watch_of(LOUD_ONLY), rising) == []


def test_a_machine_that_starts_and_goes_on_is_one_event_that_ends_as_it_becomes_background() -> None:
    events = watched(watch_of(LOUD_ONLY), [(-60.0,)] * 300 + [(-40.0,)] * 300)
    assert [event.type for event in events if event.type != "update"] == ["start", "end"]
    assert events[-1].reason == "decay"
    assert events[-1].decision_sample / 8000 == pytest.approx(300 + 150, abs=5)


def test_a_floor_keeps_a_very_quiet_place_from_being_loud() -> None:
    config = LevelConfig(enabled=True, loud=LoudConfig(floor_db=60))
    quiet = [(-90.0,)] * 60 + [(-70.0,)] * 2 + [(-90.0,)] * 5
    assert watched(watch_of(config), quiet, offset_db=120) == []  # 50 dB
    assert [event.type for event in watched(watch_of(config), quiet, offset_db=135)] == ["start", "end"]  # 65 dB


def test_silence_is_a_level_that_stays_under_the_limit() -> None:
    config = LevelConfig(enabled=True, silence=SilenceConfig(below_db=-80, min_s=3))
    levels = [(-60.0,)] * 3 + [(-90.0,)] * 2 + [(-70.0,)] + [(-90.0,)] * 5 + [(-60.0,)] * 2
    [start, end] = watched(watch_of(config), levels)
    assert (start.label, start.onset_sample, start.decision_sample) == ("silence", 6 * 8000, 9 * 8000)
    assert (end.reason, end.offset_sample) == ("decay", 11 * 8000)


def test_digital_silence_is_silence() -> None:
    config = LevelConfig(enabled=True, silence=SilenceConfig(below_db=-80, min_s=1))
    zeros = SecondLevel(48_000, 48_000, 48_000, 0.0, 0.0, 0.0, 0.0, 0.0, (0.0,) * 8)
    [start] = watch_of(config).add(zeros, 0.0)
    assert (start.label, start.level_dbfs, start.score) == ("silence", None, 1.0)


QUIETER = SilenceConfig(below_db=-95, min_s=1)


def test_the_limits_of_a_source_come_before_those_of_all() -> None:
    own = {
        "yard": SourceConfig(silence=QUIETER),
        "stable": SourceConfig(loud=False, silence=False),
        "mic0": SourceConfig(),
    }
    config = Config(level=BOTH, sources=own)
    assert config.level_of("yard") == LevelConfig(enabled=True, loud=BOTH.loud, silence=QUIETER)
    assert config.level_of("stable") == LevelConfig(enabled=True)
    assert config.level_of("mic0") == config.level_of("a recording") == BOTH
    alone = Config(level=LevelConfig(enabled=True), sources={"yard": own["yard"]})
    assert alone.level_classes == ("silence",)
    assert alone.level_of("mic0").classes == ()
    [rule] = watch_rules(config.level_of("yard"), ("loud", "silence"), DETECTION, SMALL_CONTRACT)[1:]
    assert (rule.label, rule.class_id) == ("silence", 3), "as in the other sources"
    [rule] = watch_rules(alone.level_of("yard"), ("loud", "silence"), DETECTION, SMALL_CONTRACT)
    assert (rule.label, rule.class_id) == ("silence", 3)


@pytest.mark.parametrize(
    ("own", "enabled", "message"),
    [
        ("loud: true", True, r"loud is a mapping, false for none.*`sources\.yard`"),
        ("silence: {min_s: 3}", True, r"below_db"),
        ("loud: {margin_db: 20}", False, r"loud and silence of sources\.yard need the meter"),
    ],
)
def test_limits_of_a_source_without_meaning_are_refused(own: str, enabled: bool, message: str) -> None:
    text = f"level: {{enabled: {str(enabled).lower()}}}\nsources: {{yard: {{{own}}}}}\n"
    with pytest.raises(ConfigError, match=message):
        parse_config(text.encode(), Path("config.yaml"))


def test_other_limits_of_a_running_source_hold_from_the_next_second_on() -> None:
    watch = watch_of(BOTH)
    [start] = watched(watch, [(-90.0,)] * 4)
    assert watch.change(watch_of(LevelConfig(enabled=True, loud=BOTH.loud, silence=QUIETER)), 32_000) == []
    [end] = watch.add(second(4, -90.0), 0.0)  # above the new limit of -95 dB and its hysteresis
    assert (start.label, end.type, end.reason) == ("silence", "end", "decay")
    watch.change(watch_of(BOTH), 40_000)
    later = [event for number in range(6, 10) for event in watch.add(second(number, -90.0), 0.0)]
    assert [event.type for event in later] == ["start"]
    [end] = watch.change(watch_of(LevelConfig(enabled=True)), 80_000)
    assert (end.label, end.type, end.reason) == ("silence", "end", "decay")
    assert watch.add(second(10, -90.0), 0.0) == []


def test_a_class_of_the_model_keeps_its_name() -> None:
    contract = msgspec.structs.replace(SMALL_CONTRACT, labels=("loud", "high"), thresholds={"loud": 0.5, "high": 0.5})
    with pytest.raises(ConfigError, match=r"level\.loud: the model double@.* has a class loud"):
        watch_thresholds(LOUD_ONLY.classes, contract)


def test_after_a_swap_the_classes_are_numbered_after_those_of_the_new_model() -> None:
    context, _ = engine_context(BandClassifier())
    meter = LevelMeter(
        lambda _, contract: LevelWatch(
            BOTH, watch_rules(BOTH, BOTH.classes, DETECTION, contract), contract.features.rate_hz
        ),
        lambda _: None,
        utc,
        context.live.publish_level,
        context.journal.append,
        MemoryLogger(),
    )
    labels = (*SMALL_CONTRACT.labels, "third")
    larger = msgspec.structs.replace(SMALL_CONTRACT, labels=labels, thresholds=dict.fromkeys(labels, 0.5))
    found = []
    for number, contract in enumerate((SMALL_CONTRACT, larger)):
        encoder = LineEncoder("node", SourceInfo("mic0", "", 8000, 1), 0, contract, "", {}, SampleClock())
        for place in range(4):
            block = Block(np.zeros((1, 8000), np.float32), 8000, (4 * number + place) * 8000)
            meter.add_block("mic0", encoder, block)
        found += meter.take_events("mic0", 10**9, "model_changed", ())
    assert {(event.label, event.class_id) for event in found[:2]} == {("silence", 3)}
    assert {(event.label, event.class_id) for event in found[2:]} == {("silence", 4)}


def watching_context(config: LevelConfig) -> tuple[EngineContext, CollectingSink]:
    context, sink = engine_context(BandClassifier())
    meter = LevelMeter(
        lambda *_: watch_of(config),
        lambda _: None,
        utc,
        context.live.publish_level,
        context.journal.append,
        MemoryLogger(),
    )
    thresholds = watch_thresholds(config.classes, SMALL_CONTRACT)
    return replace(context, level_tap=meter, level_thresholds=thresholds), sink


def live(context: EngineContext, session: SourceSession) -> None:
    Engine(context, MemoryLogger()).run([session])


def replayed(context: EngineContext, session: SourceSession) -> None:
    session.replay(context)


def scene() -> np.ndarray:
    quiet = np.random.default_rng(5).normal(0, 0.001, (1, 41 * 8000)).astype(np.float32)
    quiet[:, 34 * 8000 : 35 * 8000] += tone(1000, 1.0, amplitude=0.3)
    quiet[:, 37 * 8000 :] *= 1e-3
    return quiet


def without_numbers(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: line[key] for key in line if key != "seq"} for line in lines if line["type"] != "level"]


def test_loud_and_silence_are_ordinary_events_live_and_in_a_replay() -> None:
    found = []
    for run in (live, replayed):
        context, sink = watching_context(BOTH)
        run(context, SourceSession(MemorySource("mic0", scene(), waits=True)))
        for line in sink.lines:
            VALIDATOR.validate(line)
        found.append(without_numbers(sink.lines))
    assert found[0] == found[1]
    hello = found[0][0]
    assert hello["classes"] == ["low", "high", "loud", "silence"]
    assert hello["thresholds"]["loud"] == 0.5
    events = [line for line in found[0] if line.get("class") in ("loud", "silence")]
    assert [(line["class"], line["type"], line["reason"]) for line in events] == [
        ("loud", "start", None),
        ("loud", "end", "decay"),
        ("silence", "start", None),
        ("silence", "end", "end_of_stream"),
    ]
    assert len({line["id"] for line in events}) == 2
    assert events[0]["onset"][17:19] == "34"
    assert events[0]["class_id"] == 2
    assert events[1]["peak_level_dba"] == pytest.approx(-13.5, abs=0.3)
    times = [line["time"] for line in found[0] if line["type"] in ("start", "update", "end", "gap", "stats")]
    assert times == sorted(times)


@pytest.mark.parametrize("run", [live, replayed])
def test_a_source_that_fails_ends_its_silence_as_lost(run: Callable[[EngineContext, SourceSession], None]) -> None:
    context, sink = watching_context(LevelConfig(enabled=True, silence=SilenceConfig(below_db=-30, min_s=1)))
    quiet = np.random.default_rng(6).normal(0, 0.001, (1, 4 * 8000)).astype(np.float32)
    session = SourceSession(MemorySource("mic0", quiet, waits=True, fails=True))
    with contextlib.suppress(SourceError):  # which a replay raises and an engine keeps
        run(context, session)
    ends = [line for line in sink.of("end") if line["class"] == "silence"]
    assert [line["reason"] for line in ends] == ["source_lost"]
    assert sink.lines[-1]["type"] == "stats"
