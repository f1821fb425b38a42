"""Reports from the journal's lines."""

from __future__ import annotations

from typing import Any

import msgspec

from soundwatch.daemon.events.schema import DifferLine, ShadowLine
from soundwatch.daemon.shadow.report import ClassReport, build_reports


def differ(score: float, shadow_score: float, **values: Any) -> bytes:
    line = DifferLine(
        seq=1,
        time="2026-11-26T10:00:00.000Z",
        node="n",
        source="mic0",
        class_="siren",
        score=score,
        threshold=0.5,
        shadow_score=shadow_score,
        shadow_threshold=None,
        model="a@1",
        shadow="b@2",
    )
    return msgspec.json.encode(msgspec.structs.replace(line, **values))


def summary(windows: int, mean: float | None, **values: Any) -> bytes:
    line = ShadowLine(
        seq=1,
        time="2026-11-26T11:00:00.000Z",
        node="n",
        source="mic0",
        start="2026-11-26T10:00:00.000Z",
        model="a@1",
        shadow="b@2",
        windows=windows,
        dropped_windows=2,
        untold=3,
        mean_difference=mean,
        both={"siren": 6, "dog_bark": 0},
        only_model={"siren": 1, "dog_bark": 0},
        only_shadow={"siren": 1, "dog_bark": 0},
        reason="interval",
    )
    return msgspec.json.encode(msgspec.structs.replace(line, **values))


def test_lines_of_all_sources_are_added_up() -> None:
    [report] = build_reports([differ(0.9, 0.1), summary(30, 0.1), summary(10, 0.3, source="yard"), summary(0, None)])
    assert (report.windows, report.dropped_windows, report.differences) == (40, 6, 1 + 9)
    assert report.mean_difference == 0.15
    assert report.classes["siren"] == ClassReport(both=18, only_model=3, only_shadow=3, agreed=0.75)
    assert report.classes["dog_bark"].agreed is None
    assert (report.first, report.last) == ("2026-11-26T10:00:00.000Z", "2026-11-26T11:00:00.000Z")
    assert report.failed is None


def test_the_largest_differences_come_first() -> None:
    scores = [(0.6, 0.5), (0.9, 0.1), (0.2, 0.8)] + [(0.51, 0.49)] * 20
    [report] = build_reports([differ(*pair) for pair in scores])
    assert [(item.score, item.shadow_score) for item in report.moments[:3]] == [(0.9, 0.1), (0.2, 0.8), (0.6, 0.5)]
    assert len(report.moments) == 10
    assert (report.windows, report.mean_difference, report.classes) == (0, None, {})


def test_an_exchanged_pair_has_its_own_report() -> None:
    found = build_reports([summary(5, 0.1), summary(7, 0.2, model="b@2", shadow="a@1", reason="failed")])
    assert [(report.model, report.windows, report.failed) for report in found] == [
        ("a@1", 5, None),
        ("b@2", 7, "2026-11-26T11:00:00.000Z"),
    ]
    assert build_reports([]) == []
