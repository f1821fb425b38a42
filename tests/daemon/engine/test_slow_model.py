"""A model that is slower than its sources: the hop, dropped windows and the gaps that report them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.window import FeatureWindow
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.inference_queue import BATCH_WINDOWS, MAX_PENDING_WINDOWS
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.engine.source_state import MAX_HANDOVERS, PendingItem
from soundwatch.daemon.inference.classifier import classify_windows
from soundwatch.daemon.pipeline.pipeline import features_only
from support.engine_harness import BLOCK_NS, BLOCK_SAMPLES, MemorySource, engine_context, sound
from support.fakes import SMALL_CONTRACT, SMALL_SPEC, BandClassifier, tone
from support.memory_logger import MemoryLogger


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
                self.engine.enqueue_block(source, Block(block, SMALL_SPEC.rate_hz, first_sample), self.now_ns)
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
