"""The meter in the engine: the lines of each second, live and in a replay."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from soundwatch.daemon.config.level import LevelConfig
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.events.level_schema import LevelLine, LevelPeriodLine
from soundwatch.daemon.level.bands import NOMINAL_HZ
from soundwatch.daemon.level.tap import LevelMeter
from soundwatch.daemon.level.watch import LevelWatch
from support.cli_runner import VALIDATOR
from support.engine_harness import MemorySource, engine_context
from support.fakes import BandClassifier, silence, tone
from support.memory_logger import MemoryLogger

SCENE = np.concatenate([tone(1000, 2.5), silence(1.5)], axis=1)


def utc() -> ZoneInfo:
    return ZoneInfo("UTC")


def no_watch(_: str, contract: ModelContract) -> LevelWatch:
    return LevelWatch(LevelConfig(enabled=True), (), contract.features.rate_hz)


def metered_context(
    offset_db: float | None = None, log: MemoryLogger | None = None, *, bands: bool = False
) -> tuple[EngineContext, list[LevelLine]]:
    """A context with a meter, and the lines that it publishes."""
    context, _ = engine_context(BandClassifier())
    lines = list[LevelLine]()
    context.live.subscribe_levels(lines.append)
    meter = LevelMeter(
        no_watch,
        lambda name: offset_db if name == "mic0" else None,
        utc,
        context.live.publish_level,
        context.journal.append,
        log or MemoryLogger(),
        bands=bands,
    )
    return replace(context, level_tap=meter), lines


def of_seconds(lines: list[LevelLine]) -> list[LevelLine]:
    return [line for line in lines if line.period == "1s"]


def test_each_second_of_a_live_source_has_a_line_with_the_time_of_its_end() -> None:
    context, lines = metered_context()
    source = MemorySource("mic0", SCENE, waits=True, start_unix_ns=1_000_000_000)
    Engine(context, MemoryLogger()).run([SourceSession(source)])
    assert lines[-1].period == "1min"
    for line in lines:
        VALIDATOR.validate(msgspec.to_builtins(line))
    lines = of_seconds(lines)
    assert [line.time for line in lines] == [f"1970-01-01T00:00:0{second}.000Z" for second in (2, 3, 4, 5)]
    assert [line.laeq_db for line in lines[:2]] == [-9.0, -9.0]
    assert [line.lafmax_db for line in lines[:2]] == [-9.0, -9.0]
    assert [line.laeq_db for line in lines[3:]] == [None]
    assert {(line.period, line.calibrated, line.coverage) for line in lines} == {("1s", False, 1.0)}
    assert context.live.latest_levels == {"mic0": lines[-1]}


def test_bands_are_in_the_lines_of_a_minute_and_longer_with_their_calibration() -> None:
    found = list[dict[str, float]]()
    for offset_db in (None, 100.0):
        context, lines = metered_context(offset_db, bands=True)
        appended = list[LevelPeriodLine]()
        context.level_tap._append = appended.append  # type: ignore[union-attr]
        SourceSession(MemorySource("mic0", SCENE[:, :20_000], waits=True)).replay(context)
        assert all(line.bands_db is msgspec.UNSET for line in of_seconds(lines))
        longer: list[LevelLine | LevelPeriodLine] = [lines[-1], *appended]
        for line in longer:
            VALIDATOR.validate(msgspec.to_builtins(line))
            assert isinstance(line.bands_db, dict)
            found.append({band: level for band, level in line.bands_db.items() if level is not None})
    uncalibrated, *_ = found
    assert list(uncalibrated) == list(NOMINAL_HZ[:22])
    assert max(uncalibrated, key=lambda band: uncalibrated[band]) == "1000"
    assert uncalibrated["1000"] == pytest.approx(-9.0, abs=0.3)
    assert found[:4] == [uncalibrated] * 4
    assert found[4]["1000"] == pytest.approx(uncalibrated["1000"] + 100, abs=0.06)


def test_a_replay_has_the_lines_of_a_live_source() -> None:
    found = []
    for run in (
        lambda context, session: Engine(context, MemoryLogger()).run([session]),
        lambda context, session: session.replay(context),
    ):
        context, lines = metered_context()
        run(context, SourceSession(MemorySource("mic0", SCENE[:, :30_000], waits=True)))
        found.append(lines)
    assert found[0] == found[1]
    assert [line.coverage for line in of_seconds(found[0])] == [1.0, 1.0, 1.0, 0.75]


def test_a_calibrated_source_has_levels_of_sound_pressure_and_others_stay_relative() -> None:
    context, lines = metered_context(offset_db=120.0)
    sources = [MemorySource(name, SCENE, waits=True) for name in ("mic0", "mic1")]
    Engine(context, MemoryLogger()).run([SourceSession(source) for source in sources])
    first = {line.source: line for line in reversed(lines)}
    assert (first["mic0"].calibrated, first["mic0"].laeq_db) == (True, 111.0)
    assert (first["mic1"].calibrated, first["mic1"].laeq_db) == (False, -9.0)


def test_a_paused_source_is_not_measured_and_goes_on_in_its_own_time() -> None:
    context, lines = metered_context()
    engine = Engine(context, MemoryLogger())
    session = SourceSession(MemorySource("mic0", SCENE, waits=True))
    source = engine.add_source(session)
    blocks = list(session.source.blocks())
    for number, block in enumerate(blocks):
        source.paused = 10 <= number < 25
        engine._take_over(source, [block], 0)  # type: ignore[list-item]  # a source in memory has no notices
    assert [(line.time[17:19], line.coverage) for line in of_seconds(lines)] == [("01", 1.0), ("03", 0.5), ("04", 1.0)]


def test_the_periods_of_a_stream_are_stored_at_its_end_with_what_was_measured() -> None:
    context, sink = engine_context(BandClassifier())
    meter = LevelMeter(
        no_watch, lambda _: 100.0, utc, context.live.publish_level, context.journal.append, MemoryLogger()
    )
    source = MemorySource("mic0", SCENE, waits=True, start_unix_ns=(12 * 3600 - 2) * 1_000_000_000)
    Engine(replace(context, level_tap=meter), MemoryLogger()).run([SourceSession(source)])
    levels = sink.of("level")
    for line in levels:
        VALIDATOR.validate(line)
    assert [(line["period"], line["start"][11:16], line["time"][11:19]) for line in levels] == [
        ("15min", "11:45", "12:00:00"),
        ("1h", "11:00", "12:00:00"),
        ("15min", "12:00", "12:00:02"),
        ("1h", "12:00", "12:00:02"),
        ("day", "00:00", "12:00:02"),
    ]
    day = levels[-1]
    assert (day["lday_db"], day["levening_db"], day["lden_db"]) == (day["laeq_db"], None, None)
    assert day["coverage"] == pytest.approx(4 / 86_400, abs=1e-4)
    assert (day["calibrated"], levels[0]["laeq_db"]) == (True, 91.0)


def test_another_time_zone_ends_the_open_periods_and_begins_its_own() -> None:
    context, sink = engine_context(BandClassifier())
    seconds = list[LevelLine]()
    meter = LevelMeter(
        no_watch,
        lambda _: None,
        lambda: ZoneInfo("UTC" if len(seconds) < 2 else "Asia/Kolkata"),
        seconds.append,
        context.journal.append,
        MemoryLogger(),
    )
    source = MemorySource("mic0", SCENE, waits=True, start_unix_ns=12 * 3600 * 1_000_000_000)
    Engine(replace(context, level_tap=meter), MemoryLogger()).run([SourceSession(source)])
    assert [(line["period"], line["start"][11:16], line["time"][11:19]) for line in sink.of("level")] == [
        ("15min", "12:00", "12:00:02"),
        ("1h", "12:00", "12:00:02"),
        ("day", "00:00", "12:00:02"),
        ("15min", "12:00", "12:00:04"),
        ("1h", "11:30", "12:00:04"),
        ("day", "18:30", "12:00:04"),
    ]


@pytest.mark.parametrize("live", [True, False], ids=["live", "replay"])
def test_events_have_the_level_of_their_window_and_the_highest_since_the_onset(live: bool) -> None:
    scene = np.concatenate([silence(2), tone(500, 3, amplitude=0.1), tone(500, 1), silence(3)], axis=1)
    context, sink = engine_context(BandClassifier())
    meter = LevelMeter(
        no_watch, lambda _: None, utc, context.live.publish_level, context.journal.append, MemoryLogger()
    )
    context = replace(context, level_tap=meter)
    session = SourceSession(MemorySource("mic0", scene, waits=True))
    if live:
        Engine(context, MemoryLogger()).run([session])
    else:
        session.replay(context)
    update, end = sink.of("update")[-1], sink.of("end")[-1]
    assert update["level_dba"] == pytest.approx(-12.3, abs=0.3)  # 500 Hz has 3.2 dB less by the weighting A
    assert end["peak_level_dba"] == pytest.approx(-12.3, abs=0.3)
    assert {line["calibrated"] for line in sink.lines if line["type"] in ("start", "update", "end")} == {False}
    for line in sink.lines:
        VALIDATOR.validate(line)


@pytest.mark.parametrize("live", [True, False], ids=["live", "replay"])
@pytest.mark.parametrize("rate_hz", [1000, 1475, 2000, 4000, 4999])
def test_a_source_of_low_rate_is_not_metered_with_one_warning(rate_hz: int, live: bool) -> None:
    log = MemoryLogger()
    context, lines = metered_context(log=log)
    scene = np.concatenate([tone(300, 2.5, rate_hz), silence(1.5, rate_hz)], axis=1)
    session = SourceSession(MemorySource("mic0", scene, waits=True, rate_hz=rate_hz))
    if live:
        Engine(context, log).run([session])
    else:
        session.replay(context)
    assert lines == []
    assert log.fields("level_unavailable") == [{"source": "mic0", "rate_hz": rate_hz, "least_rate_hz": 5000}]


def test_a_meter_that_fails_is_switched_off_and_detection_continues() -> None:
    log = MemoryLogger()
    context, sink = engine_context(BandClassifier())

    def offset_db(source: str) -> float | None:
        if source == "mic0":
            raise IndexError("no such level")
        return None

    meter = LevelMeter(no_watch, offset_db, utc, context.live.publish_level, context.journal.append, log)
    context = replace(context, level_tap=meter)
    scene = np.concatenate([silence(1.5), tone(500, 2), silence(2)], axis=1)
    Engine(context, log).run([SourceSession(MemorySource(name, scene, waits=True)) for name in ("mic0", "mic1")])
    assert log.fields("level_failed") == [{"source": "mic0", "error": "IndexError: no such level"}]
    assert {line["source"] for line in sink.of("end")} == {"mic0", "mic1"}
    assert {line["source"] for line in sink.of("level")} == {"mic1"}


def test_a_destination_that_fails_is_no_fault_of_the_meter() -> None:
    context, _ = engine_context(BandClassifier())

    def publish(line: LevelLine) -> None:
        raise BrokenPipeError

    meter = LevelMeter(no_watch, lambda _: None, utc, publish, context.journal.append, MemoryLogger())
    with pytest.raises(BrokenPipeError):
        SourceSession(MemorySource("mic0", SCENE, waits=True)).replay(replace(context, level_tap=meter))
