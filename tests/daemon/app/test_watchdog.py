"""Detection of stalled stages, and the notifications about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from soundwatch.daemon.app.watchdog import Watchdog
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.time.clock import SampleClock
from soundwatch.daemon.detection.decide import ClassState
from soundwatch.daemon.engine.liveness import EngineProgress, is_ready, stalled_stage, status_text
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.engine.source_state import EngineSource
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.pipeline.pipeline import DetectionState
from soundwatch.daemon.system.sd_notify import SystemdNotifier
from support.fakes import SMALL_CONTRACT
from support.memory_logger import MemoryLogger

SECOND_NS = 1_000_000_000
PATIENCE_NS = 5 * SECOND_NS
LABELS = SMALL_CONTRACT.labels


@dataclass(slots=True)
class NamedSource:
    """A source with a name and no blocks."""

    info: SourceInfo
    start_unix_ns: int = 0

    def blocks(self) -> Any:
        raise AssertionError

    def stop(self) -> None:
        raise AssertionError


def source(
    name: str, state: Any, heard_s: float = 0, waits: bool = False, windows: int = 0, active: bool = False
) -> EngineSource:
    decided = tuple(ClassState(active=active and label == LABELS[0]) for label in LABELS)
    session = SourceSession(NamedSource(SourceInfo(name, "test", 8000, 1, waits)))
    encoder = LineEncoder("test", session.source.info, 0, SMALL_CONTRACT, "test", {}, SampleClock())
    return EngineSource(
        session,
        DetectionState(decided, windows),
        encoder=encoder,
        state=state,
        last_sound_ns=round(heard_s * SECOND_NS),
    )


@pytest.mark.parametrize(
    ("checked", "now_s", "stage"),
    [
        (source("mic0", "heard", heard_s=96), 100, None),
        (source("mic0", "heard", heard_s=94), 100, "the capture of mic0"),
        (source("mic0", "waiting", heard_s=1), 100_000, None),
        (source("mic0", "ended", heard_s=1), 100_000, None),
        (source("stdin", "heard", heard_s=1, waits=True), 100_000, None),
        (source("camera", "opening"), 29, None),
        (source("camera", "opening"), 31, "the capture of camera"),
    ],
    ids=["running", "stalled", "waiting", "ended", "waits for its writer", "opens late", "does not open"],
)
def test_a_source_without_blocks_is_stalled_unless_it_waits(
    checked: EngineSource, now_s: int, stage: str | None
) -> None:
    progress = EngineProgress(0, [source("other", "heard", heard_s=now_s), checked])
    assert stalled_stage(progress, now_s * SECOND_NS, PATIENCE_NS) == stage


def test_a_model_that_holds_a_batch_too_long_is_stalled() -> None:
    progress = EngineProgress(0, [], batch_since_ns=10 * SECOND_NS)
    assert stalled_stage(progress, 14 * SECOND_NS, PATIENCE_NS) is None
    assert stalled_stage(progress, 16 * SECOND_NS, PATIENCE_NS) == "the model"


def test_the_program_is_ready_after_the_first_window_or_if_every_microphone_waits() -> None:
    assert not is_ready(EngineProgress(0))
    assert not is_ready(EngineProgress(0, [source("mic0", "heard", windows=0)]))
    assert is_ready(EngineProgress(0, [source("mic0", "heard", windows=1), source("yard", "opening")]))
    assert not is_ready(EngineProgress(0, [source("mic0", "waiting"), source("yard", "opening")]))
    assert is_ready(EngineProgress(0, [source("mic0", "waiting"), source("yard", "waiting")]))


def test_a_paused_source_is_not_running_and_not_waited_for() -> None:
    paused, lost = source("mic0", "heard", heard_s=94), source("yard", "lost")
    paused.paused = True
    assert is_ready(EngineProgress(0, [paused, lost]))
    assert status_text(EngineProgress(0, [paused, lost])) == "0 of 2 sources running; waiting for mic0, yard"


def test_the_status_names_active_classes_and_waiting_sources_and_stays_short() -> None:
    progress = EngineProgress(0, [source("mic0", "heard", active=True), source("yard", "waiting")])
    assert status_text(progress) == "1 of 2 sources running; low on mic0; waiting for yard"
    many = EngineProgress(0, [source(f"m{number}", "waiting") for number in range(300)])
    assert status_text(many) == "0 of 300 sources running; waiting for m0, m1, m2, m3, m4 and 295 more"


def test_an_active_class_is_named_by_the_model_that_detected_it() -> None:
    old, new = source("mic0", "heard", active=True), source("yard", "heard")
    assert new.encoder is not None
    labels = ("quiet", *LABELS)
    contract = msgspec.structs.replace(SMALL_CONTRACT, labels=labels, thresholds=dict.fromkeys(labels, 0.5))
    new.encoder = replace(new.encoder, contract=contract)
    new.detection_state = DetectionState(tuple(ClassState(active=label == "quiet") for label in labels), 1)
    assert status_text(EngineProgress(0, [old, new])) == "2 of 2 sources running; low on mic0, quiet on yard"


class RecordingNotifier(SystemdNotifier):
    """Records the notifications."""

    def __init__(self) -> None:
        super().__init__("/no/such/socket", 10 * SECOND_NS)
        self.sent: list[str] = []

    def _send(self, state: str) -> None:
        self.sent.append(state)


def test_a_stalled_stage_is_logged_once_and_stops_the_watchdog_until_it_recovers() -> None:
    notifier, log = RecordingNotifier(), MemoryLogger()
    watchdog = Watchdog(notifier, log)
    progress = EngineProgress(0, [source("mic0", "heard", heard_s=1, windows=1)])
    for now_s in range(2, 9):
        watchdog(progress, now_s * SECOND_NS)
    assert notifier.sent == ["READY=1", "STATUS=1 of 1 sources running", *["WATCHDOG=1"] * 5]
    assert [fields["stage"] for _, fields in log.written] == ["the capture of mic0"]
    progress.sources[0].last_sound_ns = 9 * SECOND_NS
    watchdog(progress, 9 * SECOND_NS)
    assert notifier.sent[-1] == "WATCHDOG=1"
    assert log.written[1] == ("stage_recovered", {"stage": "the capture of mic0"})


def test_ticks_in_quick_succession_are_skipped() -> None:
    notifier = RecordingNotifier()
    watchdog = Watchdog(notifier, MemoryLogger())
    progress = EngineProgress(0, [source("mic0", "heard", heard_s=1, windows=1)])
    for turn in range(10_000):
        watchdog(progress, 2 * SECOND_NS + turn * 1_000)
    assert notifier.sent.count("WATCHDOG=1") == 1
