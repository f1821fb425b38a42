"""Start, end and time of the clips that are cut from a source's sound."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from soundwatch.daemon.clips.recorder import LOOKBACK_S, ClipRecorder, PendingClip
from soundwatch.daemon.clips.ring_buffer import RingBuffer, to_int16
from soundwatch.daemon.config.config import ClipsConfig, Config
from soundwatch.daemon.config.source import SourceClipsConfig, SourceConfig
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.detection.rules import resolve_sources
from support.clip_factory import ANCHOR_UNIX_NS, RATE_HZ, Timed, event, ramp
from support.fakes import SMALL_CONTRACT

CONFIG = ClipsConfig(folder="clips", pre_roll_s=1.0, post_roll_s=2.0, max_s=10.0)


class Bench:
    """A recorder of one source, its sound given a tenth of a second at a time."""

    def __init__(self, config: ClipsConfig = CONFIG) -> None:
        self.clips: list[PendingClip] = []
        self.recorder = ClipRecorder(config, 500, self.clips.append)
        self.now = 0

    def play_until(self, end_s: float) -> None:
        while self.now < end_s * RATE_HZ:
            self.recorder.add_block("mic0", ramp(self.now, 100))
            self.now += 100

    def lose(self, seconds: float) -> None:
        self.now += round(seconds * RATE_HZ)
        self.recorder.add_block("mic0", ramp(self.now, 100, round(seconds * RATE_HZ)))
        self.now += 100

    def add_events(self, *events: object, final: bool = False) -> None:
        self.recorder.add_events("mic0", Timed(), events, self.now * 500 // RATE_HZ, final=final)  # type: ignore[arg-type]

    def held_samples(self) -> int:
        buffer = self.recorder._buffers["mic0"]
        return buffer.end_sample - buffer.first_sample


def test_a_clip_has_its_pre_roll_and_waits_for_its_post_roll() -> None:
    bench = Bench()
    bench.play_until(8)
    bench.add_events(event("start", 4))
    bench.add_events(event("end", 4, 7))
    bench.play_until(8.9)
    assert bench.clips == []
    bench.play_until(9)
    [clip] = bench.clips
    assert (clip.id, clip.label, clip.peak_score) == ("siren@2000", "siren", 0.95)
    assert clip.start_unix_ns == ANCHOR_UNIX_NS + 3_000_000_000
    assert clip.excerpt.frames()[:, 0].tolist() == list(range(3000, 9000))
    assert clip.excerpt.lost_samples == 0


def test_a_post_roll_that_is_there_already_is_not_waited_for() -> None:
    bench = Bench()
    bench.play_until(12)
    bench.add_events(event("start", 4), event("end", 4, 7))
    assert [clip.excerpt.duration_s for clip in bench.clips] == [6.0]


def test_a_clip_is_as_long_as_the_longest_and_no_longer_and_does_not_wait_for_the_event_to_end() -> None:
    bench = Bench()
    bench.play_until(6)
    bench.add_events(event("start", 4))
    bench.play_until(20)
    assert bench.clips == [], "what is heard is ahead of what is decided"
    bench.add_events()
    [clip] = bench.clips
    assert clip.excerpt.duration_s == 10.0
    bench.add_events(event("end", 4, 299))
    assert len(bench.clips) == 1


def test_memory_is_bounded_with_and_without_an_event() -> None:
    bench = Bench()
    longest = 0
    for second in range(1, 120):
        bench.play_until(second)
        bench.add_events()
        if second % 3 == 0:
            bench.add_events(event("start", second - 2.0, label=f"class{second}"))
        longest = max(longest, bench.held_samples())
    assert longest <= (LOOKBACK_S + CONFIG.pre_roll_s + CONFIG.max_s) * RATE_HZ
    assert len(bench.clips) > 30


def test_without_an_event_only_the_latest_sound_is_held() -> None:
    bench = Bench()
    bench.play_until(120)
    assert bench.held_samples() <= (LOOKBACK_S + CONFIG.pre_roll_s) * RATE_HZ + 100


@pytest.mark.parametrize("offset_s", [None, 5.0])
def test_a_clip_is_cut_at_the_end_of_the_sound(offset_s: float | None) -> None:
    bench = Bench()
    bench.play_until(6)
    bench.add_events(event("start", 4))
    bench.add_events(event("end" if offset_s else "update", 4, offset_s), final=True)
    [clip] = bench.clips
    assert clip.excerpt.frames()[[0, -1], 0].tolist() == [3000, 5999]


def test_an_event_at_the_start_has_a_shorter_pre_roll() -> None:
    bench = Bench()
    bench.play_until(4)
    bench.add_events(event("start", 0.5), event("end", 0.5, 1))
    [clip] = bench.clips
    assert clip.start_unix_ns == ANCHOR_UNIX_NS
    assert clip.excerpt.frames()[[0, -1], 0].tolist() == [0, 2999]


def test_lost_sound_is_zeros_and_counted_so_that_times_hold() -> None:
    bench = Bench()
    bench.play_until(5)
    bench.add_events(event("start", 4))
    bench.lose(1)
    bench.play_until(9)
    bench.add_events(event("end", 4, 7))
    [clip] = bench.clips
    frames = clip.excerpt.frames()[:, 0]
    assert clip.excerpt.lost_samples == RATE_HZ
    assert np.array_equal(frames[:2000], np.arange(3000, 5000))
    assert not frames[2000:3000].any()
    assert np.array_equal(frames[3000:], np.arange(6000, 9000))


def test_a_loss_longer_than_the_clip_ends_it_where_the_sound_did() -> None:
    bench = Bench()
    bench.play_until(5)
    bench.add_events(event("start", 4))
    bench.lose(3600)
    bench.add_events()
    [clip] = bench.clips
    assert clip.excerpt.frames()[[0, -1], 0].tolist() == [3000, 4999]


def test_another_rate_starts_a_new_buffer_and_ends_open_clips() -> None:
    bench = Bench()
    bench.play_until(5)
    bench.add_events(event("start", 4))
    bench.recorder.add_block("mic0", ramp(10_000, 100, rate_hz=2000))
    assert [clip.excerpt.rate_hz for clip in bench.clips] == [1000]
    assert bench.recorder._buffers["mic0"].first_sample == 10_000


def test_two_simultaneous_events_give_two_clips_of_one_buffer() -> None:
    bench = Bench()
    bench.play_until(12)
    bench.add_events(event("start", 4), event("start", 5, label="dog_bark"))
    bench.add_events(event("end", 4, 7), event("end", 5, 6, label="dog_bark"))
    assert {clip.label: clip.excerpt.duration_s for clip in bench.clips} == {"siren": 6.0, "dog_bark": 4.0}


def test_an_event_of_an_unknown_source_gives_no_clip() -> None:
    recorder = ClipRecorder(CONFIG, 500, lambda clip: pytest.fail(f"{clip} was cut"))
    recorder.add_events("mic0", Timed(), [event("start", 4)], 4000, final=True)  # type: ignore[arg-type]


def test_sound_of_16_bits_comes_back_bit_for_bit() -> None:
    every = np.arange(-32_768, 32_768, dtype=np.int16)
    samples = every.astype(np.float32)[None] / np.float32(32_768)
    assert np.array_equal(to_int16(samples)[:, 0], every)
    assert to_int16(np.array([[1.0, 2.0, -2.0]], np.float32))[:, 0].tolist() == [32_767, 32_767, -32_768]


def test_a_block_without_samples_leaves_no_piece() -> None:
    buffer = RingBuffer(RATE_HZ, 1)
    buffer.add(Block(np.zeros((1, 0), np.float32), RATE_HZ, 500, 500))
    assert buffer.excerpt(0, 1000) is None


CONTRACT = msgspec.structs.replace(SMALL_CONTRACT, labels=("siren", "high"), thresholds={"siren": 0.5, "high": 0.5})


def configured(own: SourceConfig) -> Bench:
    bench = Bench()
    config = Config(clips=ClipsConfig(folder="clips", pre_roll_s=1.0, post_roll_s=2.0), sources={"mic0": own})
    bench.recorder.configure(resolve_sources(config, CONTRACT))
    return bench


def test_a_source_has_its_own_roll_classes_and_guard() -> None:
    own = SourceClipsConfig(classes=("siren",), pre_roll_s=0.0, post_roll_s=1.0, speech_guard=False)
    bench = configured(SourceConfig(clips=own))
    bench.play_until(12)
    bench.add_events(event("start", 4), event("end", 4, 7))
    [clip] = bench.clips
    assert (clip.excerpt.duration_s, clip.guarded) == (4.0, False)
    bench = configured(SourceConfig(clips=SourceClipsConfig(classes=("high",))))
    bench.play_until(12)
    bench.add_events(event("start", 4), event("end", 4, 7))
    assert bench.clips == []


def test_a_source_without_clips_keeps_no_sound_and_a_change_discards_what_was_kept() -> None:
    bench = configured(SourceConfig(clips=False))
    bench.play_until(3)
    assert bench.recorder._buffers == {}
    bench = Bench()
    bench.play_until(8)
    bench.add_events(event("start", 4))
    bench.recorder.configure(resolve_sources(Config(sources={"mic0": SourceConfig(clips=False)}), SMALL_CONTRACT))
    bench.play_until(20)
    bench.add_events(final=True)
    assert (bench.recorder._buffers, bench.clips) == ({}, [])


def test_the_clip_of_an_event_is_pending_from_its_start_until_it_is_written_or_dropped() -> None:
    bench = Bench()
    bench.play_until(8)
    bench.add_events(event("start", 4), event("start", 5, label="dog"))
    bench.add_events(event("end", 4, 7))
    assert bench.recorder.is_pending("siren@2000")
    bench.play_until(9)
    assert [clip.id for clip in bench.clips] == ["siren@2000"]
    assert bench.recorder.is_pending("siren@2000"), "the writer has yet to write its line"
    assert bench.recorder.is_pending("dog@2500")
    bench.recorder.configure(resolve_sources(Config(sources={"mic0": SourceConfig(clips=False)}), SMALL_CONTRACT))
    assert not bench.recorder.is_pending("dog@2500"), "no clip follows"
