"""The lines other programs read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from soundwatch.daemon.core.model.tags import with_tag_classes
from soundwatch.daemon.core.records.event import Event
from soundwatch.daemon.core.records.source import AudioQuality, ClockCorrection, SourceInfo
from soundwatch.daemon.core.records.stream import Gap, OverloadChange, StreamSummary
from soundwatch.daemon.core.time.clock import SampleClock, format_utc
from soundwatch.daemon.events.encoder import LineEncoder, ulid
from soundwatch.daemon.events.notices import anchor_line, overload_line, quality_line
from soundwatch.daemon.events.schema import Line, json_schema
from support.band_model import TAGGED_CONTRACT
from support.fakes import SMALL_CONTRACT

START_UNIX_NS = 1_795_335_300_000_000_000  # 2026-11-22T08:15:00Z
STREAM = LineEncoder(
    node="edge1",
    source=SourceInfo("mic0", "USB PnP", 48000, 1),
    start_unix_ns=START_UNIX_NS,
    contract=SMALL_CONTRACT,
    provider="CPUExecutionProvider",
    thresholds={"low": 0.5},
    clock=SampleClock(),
)

HEALTH = OverloadChange("degraded", hop_samples=1600, behind_ns=612_345_678, dropped_windows=3)


class LateClock:
    """Lines are written 40 ms after their sound was complete."""

    def written_unix_ns(self, complete_unix_ns: int) -> int:
        return complete_unix_ns + 40_000_000


def event(**changes: Any) -> Event:
    values: dict[str, Any] = {
        "type": "start",
        "label": "high",
        "class_id": 1,
        "score": 0.93456,
        "peak_score": 0.93456,
        "level_dbfs": -31.44,
        "decision_sample": 8000 * 4,
        "onset_sample": 8000 * 2 + 4,
    }
    return Event(**(values | changes))


def as_json(line: Line) -> Any:
    return json.loads(msgspec.json.encode(line))


def test_times_are_utc_with_z_and_come_from_the_sample_clock() -> None:
    line = as_json(STREAM.line(event()))
    assert line["time"] == "2026-11-22T08:15:04.000Z"
    assert line["onset"] == "2026-11-22T08:15:02.000Z"  # half a millisecond, rounded down
    assert line["offset"] is None
    assert line["duration_s"] is None


def test_an_event_is_one_flat_object_with_its_keys_in_order() -> None:
    line = as_json(STREAM.line(event()))
    assert list(line)[:4] == ["schema", "type", "seq", "id"]
    assert line["class"] == "high"
    assert line["class_id"] == 1
    assert line["score"] == 0.9345
    assert line["level_dbfs"] == -31.4
    assert line["model"] == "double@sha256:abababababab"
    assert not any(isinstance(value, dict | list) for value in line.values())


def test_an_event_of_a_model_with_tags_has_the_highest_and_one_of_a_tag_is_experimental() -> None:
    line = as_json(STREAM.line(event(also=(("whistle", 0.81239), ("glass", 0.2)))))
    assert line["also"] == {"whistle": 0.8123, "glass": 0.2}
    assert "experimental" not in line
    stream = replace(STREAM, contract=with_tag_classes(TAGGED_CONTRACT, ["glass"]))
    line = as_json(stream.line(event(label="glass", class_id=2, also=(("whistle", 0.8),))))
    assert (line["class_id"], line["experimental"]) == (2, True)
    assert "glass" in as_json(stream.hello())["classes"]


def test_start_update_and_end_share_an_id_made_of_the_onset() -> None:
    start = as_json(STREAM.line(event()))
    end = as_json(STREAM.line(event(type="end", decision_sample=90_000, offset_sample=60_000, reason="decay")))
    other = as_json(STREAM.line(event(label="low", class_id=0)))
    assert start["id"] == end["id"] != other["id"]
    assert ULID.from_str(start["id"]).milliseconds == START_UNIX_NS // 1_000_000 + 2000
    assert end["duration_s"] == pytest.approx((60_000 - 16_004) / 8000, abs=1e-3)


@given(st.integers(-(2**42), 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_ids_are_ulids_as_their_specification_has_them(unix_ms: int, drawn: bytes) -> None:
    text = ulid(unix_ms, drawn)
    assert bytes(ULID.from_str(text)) == max(0, unix_ms).to_bytes(6, "big") + drawn
    assert str(ULID.from_str(text)) == text


def test_latency_is_from_the_onset_to_the_line() -> None:
    late = msgspec.structs.asdict(msgspec.structs.replace(STREAM.line(event())))
    assert late["latency_ms"] == 1999
    stream = LineEncoder(STREAM.node, STREAM.source, START_UNIX_NS, SMALL_CONTRACT, "p", {"low": 0.5}, LateClock())
    assert as_json(stream.line(event()))["latency_ms"] == 2039


def test_a_continuing_event_bears_the_id_of_the_one_before_and_others_have_no_such_key() -> None:
    first = as_json(STREAM.line(event(onset_sample=8000)))
    second = as_json(STREAM.line(event(onset_sample=16_004, continues_sample=8000)))
    assert "continues" not in first
    assert second["continues"] == first["id"]
    moved = STREAM.with_anchor(12_000, START_UNIX_NS + 3_600_000_000_000)
    assert as_json(moved.line(event(onset_sample=16_004, continues_sample=8000)))["continues"] == first["id"]


def test_silence_has_a_null_level() -> None:
    assert as_json(STREAM.line(event(level_dbfs=None)))["level_dbfs"] is None


def test_a_gap_has_its_start_and_duration() -> None:
    line = as_json(STREAM.line(Gap(8000, 4000)))
    assert (line["start"], line["time"], line["duration_s"]) == (
        "2026-11-22T08:15:01.000Z",
        "2026-11-22T08:15:01.500Z",
        0.5,
    )


def test_a_gap_distinguishes_lost_sound_from_a_pause() -> None:
    assert as_json(STREAM.line(Gap(8000, 4000)))["reason"] == "capture"
    assert as_json(STREAM.line(Gap(8000, 4000, "overload")))["reason"] == "overload"


def test_health_is_the_machines_and_no_sources() -> None:
    line = as_json(overload_line(HEALTH, "edge1", START_UNIX_NS, 8000))
    assert (line["type"], line["source"], line["time"]) == ("health", None, "2026-11-22T08:15:00.000Z")
    assert (line["state"], line["reason"]) == ("degraded", "overload")
    assert (line["hop_s"], line["behind_ms"], line["dropped_windows"]) == (0.2, 612, 3)


def test_the_last_line_has_the_coverage() -> None:
    assert as_json(STREAM.line(StreamSummary(9, 80_000, 8_000)))["coverage"] == 0.9
    assert as_json(STREAM.line(StreamSummary(0, 0, 0)))["coverage"] is None


def test_hello_has_node_source_and_model() -> None:
    hello = as_json(STREAM.hello())
    assert hello["stream_start"] == "2026-11-22T08:15:00.000Z"
    assert hello["classes"] == ["low", "high"]
    assert hello["thresholds"] == {"low": 0.5}
    assert (hello["window_s"], hello["hop_s"]) == (0.4, 0.1)


def test_times_before_1970_and_far_ahead_are_written_too() -> None:
    assert format_utc(-1_000_000) == "1969-12-31T23:59:59.999Z"
    assert format_utc(4_102_444_800_000_000_000) == "2100-01-01T00:00:00.000Z"


@pytest.mark.slow
@given(
    st.sampled_from(["start", "update", "end"]),
    st.floats(0, 1),
    st.one_of(st.none(), st.floats(-200, 10)),
    st.integers(0, 10**9),
)
def test_every_line_satisfies_the_published_schema(
    type_: str, score: float, level_dbfs: float | None, at_sample: int
) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    ended = {"offset_sample": at_sample, "reason": "decay"} if type_ == "end" else {}
    for line in (
        STREAM.hello(),
        STREAM.line(event(type=type_, score=score, level_dbfs=level_dbfs, decision_sample=at_sample, **ended)),
        STREAM.line(Gap(at_sample, 1)),
        STREAM.line(StreamSummary(1, at_sample, 0)),
        overload_line(HEALTH, "edge1", at_sample, 8000),
        anchor_line(ClockCorrection("drift", at_sample, 0), "edge1", "mic0", at_sample),
    ):
        validator.validate(as_json(line))


def test_times_are_corrected_from_a_sample_on_and_earlier_ones_stay() -> None:
    hour_ns = 3_600_000_000_000
    moved = STREAM.with_anchor(24_000, START_UNIX_NS + hour_ns)
    start, end = event(), event(type="end", offset_sample=32_000, reason="decay")
    assert as_json(moved.line(end))["id"] == as_json(STREAM.line(start))["id"]
    assert as_json(moved.line(end))["onset"] == "2026-11-22T08:15:02.000Z"
    assert as_json(moved.line(end))["offset"] == "2026-11-22T09:15:04.000Z"
    back = STREAM.with_anchor(24_000, START_UNIX_NS - hour_ns)
    assert as_json(back.line(end))["offset"] == "2026-11-22T08:15:03.500Z", "half as late, not earlier"


def test_a_correction_has_its_shift() -> None:
    line = as_json(anchor_line(ClockCorrection("clock_step", -3_600_000_400_000, 0), "edge1", "mic0", START_UNIX_NS))
    assert (line["state"], line["reason"], line["shift_ms"]) == ("reanchored", "clock_step", -3_600_000)


def test_the_schema_refuses_invalid_lines() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    good = as_json(STREAM.line(event()))
    bad_lines: tuple[dict[str, Any], ...] = ({}, good | {"score": "high"}, good | {"type": "hello"})
    assert not any(validator.is_valid(bad) for bad in bad_lines)


def test_the_schema_lets_keys_of_later_releases_pass() -> None:
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(as_json(STREAM.line(event())) | {"colour": "red"})


def test_the_quality_of_silence_has_no_levels() -> None:
    quality = AudioQuality(("silent",), None, None, 0.0, 0.0, 0.0, same_channels=True, measured_hz=None)
    line = as_json(quality_line(quality, "edge1", "mic0", START_UNIX_NS))
    assert (line["state"], line["faults"], line["level_dbfs"], line["peak_dbfs"]) == ("poor", ["silent"], None, None)
    jsonschema.validate(line, json_schema())
