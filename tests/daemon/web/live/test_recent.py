"""The last minute of each source, which a stream can begin with."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import msgspec
import pytest
from websockets.sync.client import connect

from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.web.live.recent import KEPT_NS, RecentWindows, joined_columns
from support.fakes import SMALL_SPEC
from support.web_harness import a_site, reading

STEP_SAMPLES = 600  # two columns


def window(number: int, source: str = "mic0") -> WindowResult:
    """Return window `number` of a source whose windows follow each other by whole columns."""
    made = reading(number, source, features_wanted=True)
    assert made.features is not None
    first = number * STEP_SAMPLES
    features = replace(made.features, first_sample=first, end_sample=first + SMALL_SPEC.window_samples)
    end_unix_ns = 1_795_334_400_000_000_000 + first * 1_000_000_000 // SMALL_SPEC.rate_hz
    return replace(made, features=features, end_unix_ns=end_unix_ns)


def recent_of(*numbers: int, source: str = "mic0") -> RecentWindows:
    recent = RecentWindows(lambda: SMALL_SPEC)
    for number in numbers:
        recent.observe(window(number, source))
    return recent


def test_consecutive_windows_are_one_line_of_columns_and_a_gap_begins_another() -> None:
    _, kept = recent_of(*range(1, 11), *range(40, 46)).kept()
    first, second = joined_columns(kept)
    assert (first.columns, second.columns) == (2 * 10, 10 + 2 * 5), "the window after a gap gives all it has"
    assert len(base64.b64decode(first.data)) == first.columns * first.bands
    last = kept[-1].columns
    assert last is not None
    assert (second.time, second.source) == (last.time, "mic0")


def test_only_a_minute_is_kept_and_no_features() -> None:
    recent = recent_of(*range(1, 1000, 7))
    recent.observe(reading(1000, "yard", end_unix_ns=window(1000).end_unix_ns))
    _, kept = recent.kept()
    times = [one.result.end_unix_ns for one in kept]
    assert max(times) - min(times) <= KEPT_NS
    assert {one.result.features for one in kept} == {None}
    assert kept[-1].columns is None, "its window had no features"


def test_a_source_that_is_silent_for_a_minute_is_forgotten() -> None:
    recent = recent_of(1, 2)
    recent.observe(reading(1000, "yard", end_unix_ns=window(1000).end_unix_ns))
    assert {one.result.source for one in recent.kept()[1]} == {"yard"}


def test_windows_of_two_sources_are_separate_lines() -> None:
    recent = recent_of(1, 2)
    for number in (1, 2, 3):
        recent.observe(window(number, "yard"))
    assert [(line.source, line.columns) for line in joined_columns(recent.kept()[1])] == [("mic0", 4), ("yard", 6)]


def test_another_front_end_begins_another_line() -> None:
    spec = [SMALL_SPEC]
    recent = RecentWindows(lambda: spec[0])
    recent.observe(window(1))
    spec[0] = msgspec.structs.replace(SMALL_SPEC, n_mels=8)
    second = window(2)
    assert second.features is not None
    recent.observe(replace(second, features=replace(second.features, mel_db=second.features.mel_db[:, :8])))
    assert [line.bands for line in joined_columns(recent.kept()[1])] == [16, 8]


@pytest.mark.parametrize("query", ["scores=1&columns=1&recent=1", "scores=1&columns=1"])
def test_a_stream_begins_with_the_last_minute_where_it_is_wanted_and_goes_on_without_repetition(query: str) -> None:
    with a_site() as site:
        for number in range(1, 6):
            site.view.live.publish(window(number))
        with connect(f"{site.websocket_url}?{query}", max_size=None) as stream:
            messages = [json.loads(stream.recv())]
            site.view.live.publish(window(6))
            while [message["type"] for message in messages].count("scores") < (6 if "recent" in query else 1):
                messages.append(json.loads(stream.recv()))
            messages.append(json.loads(stream.recv()))
    kinds = [message["type"] for message in messages]
    past = ["columns", *["scores"] * 5] if "recent" in query else []
    assert kinds == ["welcome", *past, "scores", "columns"]
    assert len({message["time"] for message in messages if message["type"] == "scores"}) == kinds.count("scores")
