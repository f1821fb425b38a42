"""Events are matched to sounds as sed_eval matches them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from soundwatch.training.evaluation.detection.event_matching import (
    MatchCounts,
    TimedLabel,
    count_matches,
    match_events,
)

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "sed_eval.json"


def test_an_event_within_the_collar_on_either_side_is_right() -> None:
    there = [TimedLabel("siren", 10.0), TimedLabel("siren", 30.0)]
    told = [TimedLabel("siren", 9.0), TimedLabel("siren", 31.5)]
    assert match_events(there, told, 1.0) == [(0, 0)]
    assert match_events(there, told, 1.5) == [(0, 0), (1, 1)]


def test_an_event_of_another_class_is_not() -> None:
    assert match_events([TimedLabel("siren", 10.0)], [TimedLabel("car_horn", 10.0)], 5.0) == []


def test_one_sound_has_one_event_and_one_event_one_sound() -> None:
    assert match_events([TimedLabel("siren", 10.0)], [TimedLabel("siren", 9.5), TimedLabel("siren", 10.0)], 1.0) == [
        (0, 0)
    ]
    assert match_events([TimedLabel("siren", 10.0), TimedLabel("siren", 10.5)], [TimedLabel("siren", 10.2)], 1.0) == [
        (0, 0)
    ]


def test_as_many_pairs_are_made_as_can_be() -> None:
    # The event at 11 fits both sounds, that at 12 only the second: a nearest-first choice would lose a pair.
    there = [TimedLabel("siren", 10.0), TimedLabel("siren", 11.1)]
    assert match_events(there, [TimedLabel("siren", 12.0), TimedLabel("siren", 11.0)], 1.0) == [(0, 1), (1, 0)]


def test_figures_are_those_of_the_hand() -> None:
    # 4 sounds, 3 events: siren found, dog found, dog missed, horn missed, one siren too many.
    there = [
        TimedLabel("siren", 1.0),
        TimedLabel("dog_bark", 11.0),
        TimedLabel("dog_bark", 21.0),
        TimedLabel("car_horn", 31.0),
    ]
    told = [TimedLabel("siren", 2.0), TimedLabel("dog_bark", 12.0), TimedLabel("siren", 40.0)]
    pairs = match_events(there, told, 1.0)
    assert count_matches(there, told, pairs, None) == MatchCounts(
        reference=4, estimated=3, matched=2, recall=0.5, precision=0.6667, f1=0.5714
    )
    assert count_matches(there, told, pairs, "siren") == MatchCounts(
        reference=1, estimated=2, matched=1, recall=1.0, precision=0.5, f1=0.6667
    )
    assert count_matches(there, told, pairs, "dog_bark").recall == 0.5
    assert count_matches(there, told, pairs, "car_horn") == MatchCounts(
        reference=1, estimated=0, matched=0, recall=0.0, precision=None, f1=0.0
    )
    assert count_matches(there, told, pairs, "drilling").f1 is None


@pytest.mark.parametrize("scene", json.loads(GOLDEN.read_text()))
def test_counts_are_sed_evals(scene: dict[str, Any]) -> None:
    there, told = ([TimedLabel(*item) for item in scene[side]] for side in ("there", "told"))
    pairs = match_events(there, told, scene["collar_s"])
    found = count_matches(there, told, pairs, None)
    assert [found.reference, found.estimated, found.matched] == scene["all"]
    assert found.f1 == pytest.approx(scene["f1"] or 0.0, abs=1e-4)
    for label, counts in scene["classes"].items():
        of_class = count_matches(there, told, pairs, label)
        assert [of_class.reference, of_class.estimated, of_class.matched] == counts
