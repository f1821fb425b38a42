"""Many sources with one model: lines equal to those of single sources, and the effects of a slow model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundwatch.daemon.capture.demo import demo_scene
from soundwatch.daemon.core.clock import SampleClock
from soundwatch.daemon.core.config import DetectionConfig
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.errors import ModelError, SourceError
from soundwatch.daemon.core.source import AudioQuality, ClockCorrection, SourceNotice, SourceStateChange
from soundwatch.daemon.core.types import Block, FeatureWindow
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.inference_queue import BATCH_WINDOWS, MAX_PENDING_WINDOWS
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.engine.source_state import MAX_HANDOVERS, PendingItem
from soundwatch.daemon.inference.classifier import classify_windows, load_classifier_file
from soundwatch.daemon.pipeline.pipeline import features_only
from soundwatch.daemon.sinks.direct import DirectWriter
from support.engine_harness import BLOCK_NS, BLOCK_SAMPLES, CollectingSink, MemorySource, engine_context, sound
from support.fakes import SMALL_CONTRACT, SMALL_SPEC, BandClassifier, silence, tone
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
        engine.process_block(source, Block(tone(500, 0.4), SMALL_SPEC.rate_hz, 0), since_ns=0)
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


@dataclass(frozen=True, slots=True)
class Held(BandClassifier):
    """A model that waits until the test releases it."""

    let_go: threading.Event = field(default_factory=threading.Event)

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self.let_go.wait(30)
        return BandClassifier().classify(mel_db)


def test_capture_continues_while_the_model_stalls() -> None:
    source = MemorySource("mic", sound(500, 5.0))
    context, sink = engine_context(Held(let_go=source.exhausted))
    Engine(context, MemoryLogger()).run([SourceSession(source)])
    [stats] = sink.of("stats")
    gaps = sink.of("gap")
    assert gaps
    assert {gap["reason"] for gap in gaps} == {"overload"}
    assert stats["lost_s"] == pytest.approx(sum(gap["duration_s"] for gap in gaps))
    assert stats["duration_s"] == pytest.approx(6.2)


def test_a_source_with_backpressure_loses_no_sound() -> None:
    ahead_blocks: list[int] = []
    source = MemorySource("pipe", sound(500, 5.0), waits=True)

    @dataclass(slots=True)
    class Slow:
        contract: ModelContract = SMALL_CONTRACT
        provider: str = "DoubleProvider"
        windows: int = 0

        def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
            ahead_blocks.append(source.yielded_blocks - self.windows)
            self.windows += len(mel_db)
            return BandClassifier().classify(mel_db)

    context, sink = engine_context(Slow())
    Engine(context, MemoryLogger()).run([SourceSession(source)])
    assert sink.of("gap") == []
    assert sink.of("stats")[0]["windows"] == 1 + (source.samples.shape[1] - SMALL_SPEC.window_samples) // 800
    assert max(ahead_blocks) <= MAX_HANDOVERS + MAX_PENDING_WINDOWS + BATCH_WINDOWS + 5


class Clockwork:
    """Sources with a block every 100 ms, and a model with a given time for each window, on a simulated clock."""

    def __init__(self, sources: int, window_ns: Callable[[int], int]) -> None:
        self.now_ns = 0
        self.context, self.sink = engine_context(BandClassifier())
        self.engine = Engine(self.context, MemoryLogger(), lambda: self.now_ns)
        self.sources = [
            self.engine.add_source(SourceSession(MemorySource(f"mic{number}", sound(500)))) for number in range(sources)
        ]
        self.window_ns = window_ns
        self.running: tuple[int, list[PendingItem]] | None = None
        self.most_waiting = 0
        self.arrived = 0

    def go_on(self, seconds: float) -> None:
        for _ in range(round(10 * seconds)):
            due_ns = (self.arrived + 1) * BLOCK_NS
            self._classify_until(due_ns)
            self.now_ns = due_ns
            block = tone(500, 0.1)
            for source in self.sources:
                first_sample = self.arrived * BLOCK_SAMPLES
                self.engine.process_block(source, Block(block, SMALL_SPEC.rate_hz, first_sample), self.now_ns)
                self.most_waiting = max(self.most_waiting, source.waiting_windows)
            self.arrived += 1
            self._start()

    def _start(self) -> None:
        if self.running is None and (batch := self.engine.next_batch()):
            windows = sum(isinstance(waiting.content, FeatureWindow) for waiting in batch)
            self.running = (self.now_ns + windows * self.window_ns(self.now_ns), batch)

    def _classify_until(self, due_ns: int) -> None:
        while self.running is not None and self.running[0] <= due_ns:
            self.now_ns, batch = self.running
            self.engine.emit(
                batch, classify_windows(self.context.classifier, features_only([w.content for w in batch if w.content]))
            )
            self.running = None
            self._start()


@pytest.mark.slow
def test_a_fast_model_causes_no_overload() -> None:
    machine = Clockwork(8, lambda _: 12_000_000)
    machine.go_on(60)
    assert machine.sink.of("health") == []
    assert machine.sink.of("gap") == []


@pytest.mark.slow
def test_a_slow_model_widens_the_hop_drops_windows_and_recovers() -> None:
    slow_until_ns = 30_000_000_000
    machine = Clockwork(3, lambda now_ns: 100_000_000 if now_ns < slow_until_ns else 10_000_000)
    machine.go_on(30)
    health = machine.sink.of("health")
    assert [(line["state"], line["hop_s"]) for line in health] == [("degraded", 0.2), ("degraded", 0.4)]
    assert machine.most_waiting <= MAX_PENDING_WINDOWS
    gaps = machine.sink.of("gap")
    assert gaps
    assert {gap["reason"] for gap in gaps} == {"overload"}
    machine.go_on(60)
    health = machine.sink.of("health")
    assert [(line["state"], line["hop_s"]) for line in health[2:]] == [("degraded", 0.2), ("recovered", 0.1)]
    assert health[-1]["dropped_windows"] == len(machine.sink.of("gap"))
    assert health[-1]["source"] is None
    for source in machine.sources:
        own = [gap for gap in machine.sink.of("gap") if gap["source"] == source.name]
        assert source.detection_state.lost_samples == round(sum(gap["duration_s"] for gap in own) * SMALL_SPEC.rate_hz)
        assert source.waiting_windows <= 1


def test_twice_the_hop_is_enough_for_a_model_at_half_speed() -> None:
    machine = Clockwork(2, lambda _: 80_000_000)
    machine.go_on(9)
    assert [line["hop_s"] for line in machine.sink.of("health")] == [0.2]
    reported = len(machine.sink.of("gap"))
    machine.go_on(5)
    assert len(machine.sink.of("gap")) == reported, "nothing more is lost once the hop is wide enough"


@pytest.mark.slow
@given(st.lists(st.sampled_from([5, 60, 200, 900]), min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_a_slow_model_counts_no_lost_sound_twice(window_ms: list[int]) -> None:
    machine = Clockwork(3, lambda now_ns: 1_000_000 * window_ms[now_ns // 5_000_000_000 % len(window_ms)])
    machine.go_on(25)
    for source in machine.sources:
        told_until_s = 0.0
        for gap in machine.sink.of("gap"):
            if gap["source"] == source.name:
                start_s = datetime.fromisoformat(gap["start"]).timestamp()
                assert start_s >= told_until_s - 1e-6
                told_until_s = start_s + gap["duration_s"]
        heard_s = machine.arrived / 10
        assert 0 <= source.detection_state.lost_samples <= heard_s * SMALL_SPEC.rate_hz


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


GOOD = AudioQuality((), -30.0, -40.0, 0.5, 0.0, 0.0, same_channels=False, measured_hz=8000.0, changed=False)


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
            engine.process_block(source, delivery, 0)
        else:
            engine.handle_notice(source, delivery)
        batch = engine.next_batch()
        engine.emit(batch, classify_windows(context.classifier, features_only([item.content for item in batch])))
        states += [source.state] if source.state != states[-1] else []
    assert states == ["opening", "waiting", "lost", "heard"], "its first block is marked by the capture's handover"
    assert (source.stats.losses, source.stats.shifted_ns) == (1, 60_000_000_000)
    assert source.stats.summary.coverage == pytest.approx(4 / 9, abs=0.01)
    engine.handle_notice(source, GOOD)
    engine.emit(engine.next_batch(), [])
    assert source.stats.quality is GOOD
