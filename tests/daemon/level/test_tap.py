"""The meter in the engine: the lines of each second, live and in a replay."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.events.level_schema import LevelLine
from soundwatch.daemon.level.tap import LevelMeter
from support.cli_runner import VALIDATOR
from support.engine_harness import MemorySource, engine_context
from support.fakes import BandClassifier, silence, tone
from support.memory_logger import MemoryLogger

SCENE = np.concatenate([tone(1000, 2.5), silence(1.5)], axis=1)


def metered_context(offset_db: float | None = None) -> tuple[EngineContext, list[LevelLine]]:
    """A context with a meter, and the lines that it publishes."""
    context, _ = engine_context(BandClassifier())
    lines = list[LevelLine]()
    context.live.subscribe_levels(lines.append)
    meter = LevelMeter(lambda name: offset_db if name == "mic0" else None, context.live.publish_level)
    return replace(context, level_tap=meter), lines


def test_each_second_of_a_live_source_has_a_line_with_the_time_of_its_end() -> None:
    context, lines = metered_context()
    source = MemorySource("mic0", SCENE, waits=True, start_unix_ns=1_000_000_000)
    Engine(context, MemoryLogger()).run([SourceSession(source)])
    assert [line.time for line in lines] == [f"1970-01-01T00:00:0{second}.000Z" for second in (2, 3, 4, 5)]
    assert [line.laeq_db for line in lines[:2]] == [-9.0, -9.0]
    assert [line.lafmax_db for line in lines[:2]] == [-9.0, -9.0]
    assert [line.laeq_db for line in lines[3:]] == [None]
    assert {(line.period, line.calibrated, line.coverage) for line in lines} == {("1s", False, 1.0)}
    assert context.live.latest_levels == {"mic0": lines[-1]}
    for line in lines:
        VALIDATOR.validate(msgspec.to_builtins(line))


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
    assert [line.coverage for line in found[0]] == [1.0, 1.0, 1.0, 0.75]


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
        engine._process_handover(source, [block], 0)  # type: ignore[list-item]  # a source in memory has no notices
    assert [(line.time[17:19], line.coverage) for line in lines] == [("01", 1.0), ("03", 0.5), ("04", 1.0)]
