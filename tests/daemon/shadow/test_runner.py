"""The second model's thread: what it tells, what it does when it is too slow, and when it fails."""

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

from soundwatch.daemon.core.clock import SampleClock
from soundwatch.daemon.core.source import SourceInfo
from soundwatch.daemon.core.types import Classifier, Features, Scores
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.shadow.compare import ModelPair
from soundwatch.daemon.shadow.runner import QUEUED_WINDOWS, ShadowRunner
from soundwatch.daemon.sinks.direct_writer import DirectWriter
from support.engine_harness import Kept, Memory, ears_of, sound
from support.fakes import SMALL_CONTRACT, SMALL_SPEC, BandClassifier, silence, tone
from support.memory_logger import MemoryLogger

WAIT_S = 30
PAIR = ModelPair("double@sha256:1", "half@sha256:2", ("low", "high"), (0.5, 0.5), (0.5, None), SMALL_SPEC, 1, None)


@dataclass(frozen=True, slots=True)
class Half(BandClassifier):
    """A model that is half as sure, as soon as it may go on."""

    may_go_on: threading.Event = field(default_factory=threading.Event)
    fails_from: int = 1 << 30

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self.may_go_on.wait(WAIT_S)
        self.seen_shapes.append(mel_db.shape)
        if len(self.seen_shapes) >= self.fails_from:
            raise RuntimeError("a shape that was not expected")
        return BandClassifier().classify(mel_db) / np.float32(2)


def half(**values: Any) -> Half:
    model = Half(**values)
    model.may_go_on.set()
    return model


class Room:
    """A shadow, its lines, and what it said."""

    def __init__(self, classifier: Classifier, pair: ModelPair = PAIR) -> None:
        self.sink = Kept()
        self.log = MemoryLogger()
        self.beside = ShadowRunner(classifier, pair, DirectWriter([self.sink], MemoryLogger()), self.log)
        self.beside.start()

    def take(self, numbers: range, score: float = 0.9, source: str = "mic") -> None:
        for number in numbers:
            self.beside.take(stream(source), *window(number, score))

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.beside.close("ended")


def stream(source: str = "mic") -> LineEncoder:
    info = SourceInfo(source, "memory", SMALL_SPEC.rate_hz, 1)
    return LineEncoder("node", info, 0, SMALL_CONTRACT, "DoubleProvider", {"low": 0.5}, SampleClock())


def window(number: int, score: float) -> tuple[Features, Scores]:
    """A window whose lower half is so loud that it has this score by `BandClassifier`, and half of it by `Half`."""
    first, end = number * SMALL_SPEC.window_hop_samples, 0
    end = first + SMALL_SPEC.window_samples
    mel_db = np.full(SMALL_SPEC.input_shape, -60, np.float32)
    mel_db[:, : SMALL_SPEC.n_mels // 2] = 60 * (score - 1)
    scores = np.array([score, 0], np.float32)
    return Features(mel_db, first, end, True), Scores(scores, PAIR.labels, first, end, True)


def test_a_difference_and_the_end_of_a_stream_are_told_as_lines() -> None:
    with Room(half()) as room:
        room.take(range(3))
        room.beside.end(stream(), 99)
    differ, summary = room.sink.lines
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
    assert room.log.events == []


def test_what_there_is_no_time_for_is_dropped_at_once_and_counted() -> None:
    slow = Half()
    with Room(slow) as room:
        room.take(range(1))
        room.take(range(1, 100))  # returns, though nothing is classified
        slow.may_go_on.set()
        room.beside.end(stream(), 0)
    [summary] = room.sink.of("shadow")
    assert summary["windows"] == QUEUED_WINDOWS == len(slow.seen_shapes)
    assert summary["dropped_windows"] == 100 - QUEUED_WINDOWS


def test_a_shadow_that_fails_is_told_of_once_turned_off_and_costs_nothing_more() -> None:
    failing = half(fails_from=3)
    with Room(failing) as room:
        room.take(range(2), source="yard")
        while len(failing.seen_shapes) < 2:
            room.beside._thread.join(0.01)
        room.take(range(6))
        room.beside.end(stream(), 0)
        room.beside.end(stream("yard"), 0)
    assert room.log.events == ["the shadow model has failed and is turned off; listening goes on"]
    assert [(line["source"], line["reason"], line["windows"]) for line in room.sink.of("shadow")] == [
        ("mic", "failed", 0),
        ("yard", "failed", 2),
    ]
    assert len(failing.seen_shapes) == 3


def test_a_shadow_that_is_exchanged_tells_how_it_went() -> None:
    room = Room(half())
    room.take(range(5))
    room.beside.close("changed")
    room.take(range(5, 9))
    assert [(line["reason"], line["windows"]) for line in room.sink.of("shadow")] == [("changed", 5)]


def test_one_that_never_began_can_be_closed() -> None:
    ShadowRunner(half(), PAIR, DirectWriter([], MemoryLogger()), MemoryLogger()).close("changed")


def run(source: Memory, make: Callable[[Kept], ShadowRunner | None]) -> tuple[Kept, Kept]:
    """An engine with a shadow: its lines, and the shadow's."""
    context, sink = ears_of(BandClassifier())
    found = Kept()
    beside = make(found)
    if beside is not None:
        beside.start()
    Engine(replace(context, shadow=beside), MemoryLogger()).run([SourceSession(source)])
    if beside is not None:
        beside.close("ended")
    return sink, found


@pytest.mark.parametrize("share_of", [1, 3, 10])
def test_through_the_engine_each_so_many_th_window_is_compared_or_dropped(share_of: int) -> None:
    source = Memory("mic", np.concatenate([sound(300, 2.0), sound(3000, 1.0)], axis=1), waits=True)
    pair = replace(PAIR, every=share_of)
    alone, _ = run(Memory("mic", source.samples, waits=True), lambda _: None)
    sink, found = run(
        source, lambda kept: ShadowRunner(half(), pair, DirectWriter([kept], MemoryLogger()), MemoryLogger())
    )
    assert sink.lines == alone.lines, "what is decided knows nothing of the shadow"
    [summary] = found.of("shadow")
    windows = sink.of("stats")[0]["windows"]
    assert summary["windows"] + summary["dropped_windows"] == -(-windows // share_of)
    assert summary["reason"] == "ended"


def test_a_shadow_that_stands_still_holds_nothing_up() -> None:
    still = Half()
    done = threading.Event()
    context, sink = ears_of(BandClassifier())
    beside = ShadowRunner(still, PAIR, DirectWriter([Kept()], MemoryLogger()), MemoryLogger())
    beside.start()
    source = Memory("mic", np.concatenate([silence(1.0), tone(300, 20.0)], axis=1), waits=True)
    try:
        Engine(replace(context, shadow=beside), MemoryLogger()).run([SourceSession(source)])
        done.set()
    finally:
        still.may_go_on.set()
        beside.close("ended")
    assert done.is_set()
    assert sink.of("stats")[0]["lost_s"] == 0


@pytest.mark.slow
def test_a_daemon_without_a_shadow_has_nothing_of_it_in_memory() -> None:
    program = (
        "import sys, soundwatch.daemon.app.daemon, soundwatch.daemon.cli.run\n"
        "print([name for name in sys.modules if name.startswith('soundwatch.daemon.shadow.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
