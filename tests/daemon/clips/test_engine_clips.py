"""Clips from the engine: exact samples of the source, without paused sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from soundwatch.daemon.clips.recorder import ClipRecorder, PendingClip
from soundwatch.daemon.clips.ring_buffer import to_int16
from soundwatch.daemon.config.config import ClipsConfig
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import ClockCorrection, SourceNotice, SourceStateChange
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from support.engine_harness import BLOCK_SAMPLES, MemorySource, engine_context
from support.fakes import SMALL_SPEC, BandClassifier, silence, tone
from support.memory_logger import MemoryLogger

RATE_HZ = SMALL_SPEC.rate_hz
CONFIG = ClipsConfig(folder="clips", pre_roll_s=0.2, post_roll_s=0.3, max_s=5.0)
SOUND = np.concatenate([silence(1.0), tone(500, 1.5), silence(1.5), tone(3000, 1.0), silence(1.0)], axis=1)


def cut_of(source: Any, config: ClipsConfig = CONFIG) -> tuple[list[PendingClip], list[dict[str, Any]]]:
    clips: list[PendingClip] = []
    context, sink = engine_context(BandClassifier())
    recorder = ClipRecorder(config, RATE_HZ, clips.append)
    Engine(replace(context, clip_tap=recorder), MemoryLogger()).run([SourceSession(source)])
    return clips, sink.lines


def samples_of(clip: PendingClip, source: MemorySource) -> bool:
    """Check that a clip is exactly this part of its source."""
    received = source.samples[:, clip.excerpt.first_sample : clip.excerpt.end_sample]
    return np.array_equal(clip.excerpt.frames(), to_int16(received))


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 2 * RATE_HZ])
def test_each_event_is_a_clip_of_the_sources_own_samples(rate_hz: int) -> None:
    low, high, quiet_s = tone(500, 1.5, rate_hz), tone(3000, 1.0, rate_hz), silence(1.5, rate_hz)
    samples = np.concatenate([quiet_s, low, quiet_s, high, quiet_s], axis=1)
    source = MemorySource("mic", samples, waits=True, rate_hz=rate_hz)
    clips, lines = cut_of(source)
    ends = {line["id"]: line for line in lines if line["type"] == "end"}
    assert {clip.id for clip in clips} == set(ends)
    assert len(clips) == 2
    for clip in clips:
        end = ends[clip.id]
        assert (clip.label, clip.source) == (end["class"], "mic")
        assert clip.peak_score >= end["peak_score"]
        assert samples_of(clip, source)
        assert clip.start_unix_ns == clip.excerpt.first_sample * 1_000_000_000 // rate_hz
        expected_s = CONFIG.pre_roll_s + end["duration_s"] + CONFIG.post_roll_s
        assert clip.excerpt.duration_s == pytest.approx(expected_s, abs=0.01)


def test_an_event_at_the_end_of_the_stream_has_a_shorter_clip() -> None:
    source = MemorySource("mic", SOUND[:, : round(2.2 * RATE_HZ)], waits=True)
    [clip], _ = cut_of(source)
    assert clip.excerpt.end_sample == source.samples.shape[1]
    assert samples_of(clip, source)


def test_a_failing_source_keeps_the_clip_of_its_event() -> None:
    source = MemorySource("mic", SOUND[:, : round(2.2 * RATE_HZ)], waits=True, fails=True)
    [clip], lines = cut_of(source)
    assert [line["reason"] for line in lines if line["type"] == "end"] == ["source_lost"]
    assert samples_of(clip, source)


@dataclass(slots=True)
class Comes(MemorySource):
    """A source that is lost in the middle of its tone and comes back three seconds later."""

    def blocks(self) -> Iterator[Block | SourceNotice]:  # type: ignore[override]
        for first in range(0, 2 * RATE_HZ, BLOCK_SAMPLES):
            yield Block(self.samples[:, first : first + BLOCK_SAMPLES], RATE_HZ, first)
        yield SourceStateChange("lost", "ended", "Unplugged.", 40_000_000, 40_000_000)
        yield ClockCorrection("clock_step", 60_000_000_000, 60_000_000_000)
        for number, first in enumerate(range(2 * RATE_HZ, 4 * RATE_HZ, BLOCK_SAMPLES)):
            lost_samples = 0 if number else 3 * RATE_HZ
            if number == 1:
                yield SourceStateChange("back", "ended", "Heard again.", 3_000_000_000, 3_000_000_000)
            yield Block(tone(500, 0.1), RATE_HZ, 3 * RATE_HZ + first, lost_samples)


def test_a_lost_source_ends_the_clip_and_its_next_event_is_another_by_the_new_anchor() -> None:
    source = Comes("mic", np.concatenate([silence(0.5), tone(500, 3.0)], axis=1), waits=True)
    (before, after), _ = cut_of(source)
    assert before.excerpt.end_sample == 2 * RATE_HZ
    assert samples_of(before, source)
    assert after.excerpt.first_sample >= 5 * RATE_HZ - round(CONFIG.pre_roll_s * RATE_HZ)
    assert after.start_unix_ns == 60_000_000_000 + after.excerpt.first_sample * 1_000_000_000 // RATE_HZ


@dataclass(slots=True)
class Switched(MemorySource):
    """A source that is paused and resumed during its tone."""

    switch: Callable[..., None] = lambda *_, **__: None

    def blocks(self) -> Iterator[Block]:
        for first in range(0, self.samples.shape[1], BLOCK_SAMPLES):
            if first == 2 * RATE_HZ:
                self.switch("mic", listen=False)
            if first == 4 * RATE_HZ:
                self.switch("mic", listen=True)
            yield Block(self.samples[:, first : first + BLOCK_SAMPLES], RATE_HZ, first)


def test_nothing_of_a_pause_is_kept() -> None:
    source = Switched("mic", np.concatenate([silence(0.5), tone(500, 6.0)], axis=1), waits=True)
    clips: list[PendingClip] = []
    context, sink = engine_context(BandClassifier())
    recorder = ClipRecorder(CONFIG, RATE_HZ, clips.append)
    engine = Engine(replace(context, clip_tap=recorder), MemoryLogger())
    source.switch = engine.set_listening
    engine.run([SourceSession(source)])
    assert [line["reason"] for line in sink.of("end")] == ["paused", "end_of_stream"]
    [gap] = sink.of("gap")
    assert gap["reason"] == "paused"
    received = [(piece.first_sample, piece.end_sample) for clip in clips for piece in clip.excerpt.segments]
    paused_from, paused_to = (round(float(gap[key][-7:-1]) * RATE_HZ) for key in ("start", "time"))
    assert received
    for first_sample, end_sample in received:
        assert end_sample <= paused_from or first_sample >= paused_to


def test_without_clips_no_sound_is_kept() -> None:
    context, _ = engine_context(BandClassifier())
    assert context.clip_tap is None
    assert Engine(context, MemoryLogger()).add_source(SourceSession(MemorySource("mic", SOUND))).clip_tap is None
