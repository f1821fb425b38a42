"""The shadow model's thread: its lines, and its behavior when the model is slow or fails."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.records.window import Features
from soundwatch.daemon.core.time.clock import SampleClock
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.shadow.compare import ModelPair
from soundwatch.daemon.shadow.runner import QUEUED_WINDOWS, ShadowRunner
from soundwatch.daemon.sinks.direct import DirectWriter
from support.engine_harness import CollectingSink, MemorySource, engine_context, sound
from support.fakes import SMALL_CONTRACT, SMALL_SPEC, BandClassifier, silence, tone
from support.memory_logger import MemoryLogger

WAIT_S = 30
PAIR = ModelPair("double@sha256:1", "half@sha256:2", ("low", "high"), (0.5, 0.5), (0.5, None), SMALL_SPEC, 1, None)


@dataclass(frozen=True, slots=True)
class Half(BandClassifier):
    """A model with half the scores, which waits until the test releases it."""

    released: threading.Event = field(default_factory=threading.Event)
    fails_from: int = 1 << 30

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self.released.wait(WAIT_S)
        self.seen_shapes.append(mel_db.shape)
        if len(self.seen_shapes) >= self.fails_from:
            raise RuntimeError("a shape that was not expected")
        return BandClassifier().classify(mel_db) / np.float32(2)


def half(**values: Any) -> Half:
    model = Half(**values)
    model.released.set()
    return model


class RunnerHarness:
    """A running shadow model, its lines and its log."""

    def __init__(self, classifier: Classifier, pair: ModelPair = PAIR) -> None:
        self.sink = CollectingSink()
        self.log = MemoryLogger()
        self.runner = ShadowRunner(classifier, pair, DirectWriter([self.sink], MemoryLogger()), self.log)
        self.runner.start()

    def submit(self, numbers: range, score: float = 0.9, source: str = "mic") -> None:
        for number in numbers:
            self.runner.submit(stream(source), *window(number, score))

    def __enter__(self) -> RunnerHarness:
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.close("ended")


def stream(source: str = "mic") -> LineEncoder:
    info = SourceInfo(source, "memory", SMALL_SPEC.rate_hz, 1)
    return LineEncoder("node", info, 0, SMALL_CONTRACT, "DoubleProvider", {"low": 0.5}, SampleClock())


def window(number: int, score: float) -> tuple[Features, Scores]:
    """Return a window to which `BandClassifier` gives this score, and `Half` half of it."""
    first, end = number * SMALL_SPEC.window_hop_samples, 0
    end = first + SMALL_SPEC.window_samples
    mel_db = np.full(SMALL_SPEC.input_shape, -60, np.float32)
    mel_db[:, : SMALL_SPEC.n_mels // 2] = 60 * (score - 1)
    scores = np.array([score, 0], np.float32)
    return Features(mel_db, first, end, True), Scores(scores, PAIR.labels, first, end, True)


def test_a_difference_and_the_end_of_a_stream_become_lines() -> None:
    with RunnerHarness(half()) as harness:
        harness.submit(range(3))
        harness.runner.end_stream(stream(), 99)
    differ, summary = harness.sink.lines
    assert {key: differ[key] for key in differ if key not in ("schema", "seq")} == {
        "type": "differ",
        "time": "1970-01-01T00:00:00.400Z",
        "node": "node",
        "source": "mic",
        "class": "low",
        "score": pytest.approx(0.9, abs=1e-4),
        "threshold": 0.5,
        "shadow_score": pytest.approx(0.45, abs=1e-4),
        "shadow_threshold": 0.5,
        "model": "double@sha256:1",
        "shadow": "half@sha256:2",
    }
    assert (summary["type"], summary["reason"], summary["windows"]) == ("shadow", "ended", 3)
    assert (summary["start"], summary["time"]) == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.600Z")
    assert (summary["both"], summary["only_model"]) == ({"low": 0, "high": 0}, {"low": 3, "high": 0})
    assert summary["mean_difference"] == pytest.approx(0.225, abs=1e-4)
    assert harness.log.events == []


def test_windows_are_dropped_without_waiting_and_counted_when_the_queue_is_full() -> None:
    slow = Half()
    with RunnerHarness(slow) as harness:
        harness.submit(range(1))
        harness.submit(range(1, 100))  # returns, although no window is classified
        slow.released.set()
        harness.runner.end_stream(stream(), 0)
    [summary] = harness.sink.of("shadow")
    assert summary["windows"] == QUEUED_WINDOWS == len(slow.seen_shapes)
    assert summary["dropped_windows"] == 100 - QUEUED_WINDOWS


def test_a_failing_shadow_is_logged_once_and_turned_off() -> None:
    failing = half(fails_from=3)
    with RunnerHarness(failing) as harness:
        harness.submit(range(2), source="yard")
        while len(failing.seen_shapes) < 2:
            harness.runner._thread.join(0.01)
        harness.submit(range(6))
        harness.runner.end_stream(stream(), 0)
        harness.runner.end_stream(stream("yard"), 0)
    assert harness.log.events == ["shadow_failed"]
    assert [(line["source"], line["reason"], line["windows"]) for line in harness.sink.of("shadow")] == [
        ("mic", "failed", 0),
        ("yard", "failed", 2),
    ]
    assert len(failing.seen_shapes) == 3


def test_a_replaced_shadow_writes_its_last_tally() -> None:
    harness = RunnerHarness(half())
    harness.submit(range(5))
    harness.runner.close("changed")
    harness.submit(range(5, 9))
    assert [(line["reason"], line["windows"]) for line in harness.sink.of("shadow")] == [("changed", 5)]


def test_a_runner_that_was_never_started_can_be_closed() -> None:
    ShadowRunner(half(), PAIR, DirectWriter([], MemoryLogger()), MemoryLogger()).close("changed")


def run(
    source: MemorySource, make: Callable[[CollectingSink], ShadowRunner | None]
) -> tuple[CollectingSink, CollectingSink]:
    """Run an engine with a shadow; return the engine's lines and the shadow's."""
    context, sink = engine_context(BandClassifier())
    shadow_sink = CollectingSink()
    runner = make(shadow_sink)
    if runner is not None:
        runner.start()
    Engine(replace(context, shadow=runner), MemoryLogger()).run([SourceSession(source)])
    if runner is not None:
        runner.close("ended")
    return sink, shadow_sink


@pytest.mark.parametrize("stride_windows", [1, 3, 10])
def test_the_engine_submits_one_window_in_so_many(stride_windows: int) -> None:
    source = MemorySource("mic", np.concatenate([sound(300, 2.0), sound(3000, 1.0)], axis=1), waits=True)
    pair = replace(PAIR, stride_windows=stride_windows)
    alone, _ = run(MemorySource("mic", source.samples, waits=True), lambda _: None)
    sink, shadow_sink = run(
        source, lambda kept: ShadowRunner(half(), pair, DirectWriter([kept], MemoryLogger()), MemoryLogger())
    )
    assert sink.lines == alone.lines, "the shadow does not change the engine's lines"
    [summary] = shadow_sink.of("shadow")
    windows = sink.of("stats")[0]["windows"]
    assert summary["windows"] + summary["dropped_windows"] == -(-windows // stride_windows)
    assert summary["reason"] == "ended"


def test_a_stalled_shadow_does_not_delay_the_engine() -> None:
    stalled = Half()
    done = threading.Event()
    context, sink = engine_context(BandClassifier())
    runner = ShadowRunner(stalled, PAIR, DirectWriter([CollectingSink()], MemoryLogger()), MemoryLogger())
    runner.start()
    source = MemorySource("mic", np.concatenate([silence(1.0), tone(300, 20.0)], axis=1), waits=True)
    try:
        Engine(replace(context, shadow=runner), MemoryLogger()).run([SourceSession(source)])
        done.set()
    finally:
        stalled.released.set()
        runner.close("ended")
    assert done.is_set()
    assert sink.of("stats")[0]["lost_s"] == 0


@pytest.mark.slow
def test_a_daemon_without_a_shadow_imports_no_shadow_module() -> None:
    program = (
        "import sys, soundwatch.daemon.app.daemon, soundwatch.daemon.cli.run\n"
        "print([name for name in sys.modules if name.startswith('soundwatch.daemon.shadow.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
