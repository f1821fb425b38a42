"""Many sources with one model: lines equal to those of single sources, failures, lost sources and statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from soundwatch.daemon.capture.demo.scene import demo_scene
from soundwatch.daemon.config.config import DetectionConfig
from soundwatch.daemon.core.errors import ModelError, SourceError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import ClockCorrection, SourceNotice, SourceStateChange
from soundwatch.daemon.core.time.clock import SampleClock
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.inference_queue import BATCH_WINDOWS
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.inference.classifier import classify_windows, load_classifier_file
from soundwatch.daemon.pipeline.pipeline import features_only
from soundwatch.daemon.sinks.direct import DirectWriter
from support.engine_harness import BLOCK_SAMPLES, GOOD, CollectingSink, MemorySource, engine_context, sound
from support.fakes import SMALL_SPEC, BandClassifier, silence, tone
from support.memory_logger import MemoryLogger


def without_number(lines: list[dict[str, Any]], source: str) -> list[dict[str, Any]]:
    return [{key: line[key] for key in line if key != "seq"} for line in lines if line["source"] == source]


@pytest.mark.slow
def test_concurrent_sources_give_the_events_of_single_ones() -> None:
    sounds = {f"mic{number}": sound(200 + 150 * number, 0.4 + 0.1 * number) for number in range(12)}
    context, together = engine_context(BandClassifier())
    Engine(context, MemoryLogger()).run(
        [SourceSession(MemorySource(name, samples, waits=True)) for name, samples in sounds.items()]
    )
    assert [line["seq"] for line in together.lines] == list(range(1, len(together.lines) + 1))
    for name, samples in sounds.items():
        context, alone = engine_context(BandClassifier())
        SourceSession(MemorySource(name, samples)).replay(context)
        assert without_number(together.lines, name) == without_number(alone.lines, name)
        assert len(alone.of("start")) >= 1


@pytest.mark.slow
def test_live_and_replayed_lines_of_the_default_model_are_equal() -> None:
    classifier = load_classifier_file("urban", "cpu")
    scene = demo_scene(16_000, 20.0)
    reported = []
    for listen in (
        lambda context, listening: Engine(context, MemoryLogger()).run([listening]),
        lambda context, it: it.replay(context),
    ):
        sink = CollectingSink()
        rules = build_rules(DetectionConfig(confirm_windows=1), classifier.contract)
        context = EngineContext("node", classifier, rules, {}, SampleClock(), DirectWriter([sink], MemoryLogger()))
        listen(context, SourceSession(MemorySource("scene", scene, waits=True, rate_hz=16_000)))
        reported.append(sink.lines)
    assert reported[0] == reported[1]
    assert {line["type"] for line in reported[0]} >= {"hello", "start", "stats"}


def test_windows_that_are_ready_together_are_classified_together_but_never_more_than_a_batch() -> None:
    context, _ = engine_context(BandClassifier())
    engine = Engine(context, MemoryLogger())
    sources = [
        engine.add_source(SourceSession(MemorySource(f"mic{number}", sound(500))))
        for number in range(BATCH_WINDOWS + 3)
    ]
    for source in sources:
        engine.enqueue_block(source, Block(tone(500, 0.4), SMALL_SPEC.rate_hz, 0), since_ns=0)
    assert [waiting.source for waiting in engine.next_batch()] == sources[:BATCH_WINDOWS]
    assert [waiting.source for waiting in engine.next_batch()] == sources[BATCH_WINDOWS:]
    assert engine.next_batch() == []


def test_a_failing_source_is_reported_and_does_not_affect_the_others() -> None:
    context, sink = engine_context(BandClassifier())
    log = MemoryLogger()
    broken = SourceSession(MemorySource("broken", tone(500, 1.0), waits=True, fails=True))
    whole = SourceSession(MemorySource("whole", sound(500), waits=True))
    Engine(context, log).run([broken, whole])
    assert [fields for event, fields in log.written if event == "source_failed"] == [
        {"source": "broken", "error": "broken broke."}
    ]
    assert isinstance(broken.failure, SourceError)
    assert whole.failure is None
    assert [line["reason"] for line in sink.of("end") if line["source"] == "broken"] == ["source_lost"]
    assert [line["source"] for line in sink.of("stats")].count("whole") == 1


@pytest.mark.slow
def test_a_network_that_fails_ends_the_program() -> None:
    @dataclass(frozen=True, slots=True)
    class Broken(BandClassifier):
        def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
            raise ModelError(f"It gave NaN for {mel_db.shape}.")

    context, _ = engine_context(Broken())
    with pytest.raises(ModelError, match="NaN"):
        Engine(context, MemoryLogger()).run([SourceSession(MemorySource("mic", sound(500)))])


@dataclass(slots=True)
class Comes(MemorySource):
    """A source that is lost during a sound and returns."""

    def blocks(self) -> Iterator[Block | SourceNotice]:  # type: ignore[override]
        rate_hz = self.rate_hz
        yield SourceStateChange("waiting", "absent", "Not yet.")
        for first in range(0, 2 * rate_hz, BLOCK_SAMPLES):
            yield Block(tone(500, 0.1), rate_hz, first)
        yield SourceStateChange("lost", "ended", "Unplugged.", 40_000_000, 40_000_000)
        yield ClockCorrection("clock_step", 60_000_000_000, 60_000_000_000)
        yield Block(tone(500, 0.1), rate_hz, 5 * rate_hz, 3 * rate_hz)
        yield SourceStateChange("back", "ended", "Heard again.", 3_000_000_000, 3_000_000_000)
        for first in range(5 * rate_hz + BLOCK_SAMPLES, 7 * rate_hz, BLOCK_SAMPLES):
            yield Block(tone(500, 0.1), rate_hz, first)
        yield Block(silence(0), rate_hz, 9 * rate_hz, 2 * rate_hz)


def test_a_lost_source_ends_its_events_and_continues_its_stream() -> None:
    context, sink = engine_context(BandClassifier())
    Engine(context, MemoryLogger()).run([SourceSession(Comes("mic", sound(500), waits=True))])
    reported = [
        (line["type"], line.get("state"), line.get("reason")) for line in sink.lines if line["type"] != "update"
    ]
    assert reported == [
        ("health", "waiting", "absent"),
        ("hello", None, None),
        ("start", None, None),
        ("end", None, "source_lost"),
        ("health", "lost", "ended"),
        ("health", "reanchored", "clock_step"),
        ("gap", None, "capture"),
        ("health", "back", "ended"),
        ("start", None, None),
        ("gap", None, "capture"),
        ("end", None, "end_of_stream"),
        ("stats", None, None),
    ]
    ends, gaps, stats = sink.of("end"), sink.of("gap"), sink.of("stats")[0]
    assert ends[0]["offset"] == gaps[0]["start"] == "1970-01-01T00:00:02.000Z"
    assert sink.of("start")[1]["onset"] >= "1970-01-01T00:01:05.000Z", "by the anchor found at the return"
    assert (stats["duration_s"], stats["lost_s"], stats["coverage"]) == (9.0, 5.0, pytest.approx(4 / 9, abs=1e-6))


def test_stats_are_written_at_intervals_and_the_last_are_final() -> None:
    context, sink = engine_context(BandClassifier())
    Engine(replace(context, stats_s=1.0), MemoryLogger()).run([SourceSession(Comes("mic", silence(0), waits=True))])
    stats = sink.of("stats")
    assert [line["final"] for line in stats] == [False] * (len(stats) - 1) + [True]
    assert [int(line["duration_s"]) for line in stats] == [1, 2, 5, 6, 7, 9, 9]
    assert stats[2]["lost_s"] == 3.0
    context, sink = engine_context(BandClassifier())
    Engine(context, MemoryLogger()).run([SourceSession(Comes("mic", silence(0), waits=True))])
    assert len(sink.of("stats")) == 1, "none but the last where none are asked for"


def test_the_statistics_of_a_source_can_be_read_at_any_time() -> None:
    context, _ = engine_context(BandClassifier())
    engine = Engine(context, MemoryLogger())
    source = engine.add_source(SourceSession(Comes("mic", silence(0), waits=True)))
    states = [source.state]
    for delivery in source.session.source.blocks():
        if isinstance(delivery, Block):
            engine.enqueue_block(source, delivery, 0)
        else:
            engine.enqueue_notice(source, delivery)
        batch = engine.next_batch()
        engine.emit(batch, classify_windows(context.classifier, features_only([item.content for item in batch])))
        states += [source.state] if source.state != states[-1] else []
    assert states == ["opening", "waiting", "lost", "heard"], "its first block is marked by the capture's handover"
    assert (source.stats.losses, source.stats.shifted_ns) == (1, 60_000_000_000)
    assert source.stats.summary.coverage == pytest.approx(4 / 9, abs=0.01)
    engine.enqueue_notice(source, GOOD)
    engine.emit(engine.next_batch(), [])
    assert source.stats.quality is GOOD
