"""The dashboard for Grafana, whose queries run on a journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon.journal.store import JournalStore
from support.busy_week import FIRST, write_busy_journal

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "docs" / "grafana" / "soundwatch.json").read_text("utf-8")
)
QUERIES = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel["targets"]]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """The journal of a daemon that still writes."""
    store: JournalStore = write_busy_journal(tmp_path / "journal.db")
    yield tmp_path / "journal.db"
    store.close()


def rows(path: Path, query: str) -> list[dict[str, Any]]:
    begin_ms = round(1000 * FIRST.timestamp())
    end_ms = round(1000 * (FIRST + timedelta(days=15)).timestamp())
    query = query.replace("$__from", str(begin_ms)).replace("$__to", str(end_ms))
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(query)]


@pytest.mark.parametrize(("title", "target"), QUERIES, ids=[title for title, _ in QUERIES])
def test_every_query_of_the_dashboard_gives_rows(path: Path, title: str, target: dict[str, Any]) -> None:
    found = rows(path, target["queryText"])
    assert found, title
    assert target["rawQueryText"] == target["queryText"]
    assert "$" not in target["queryText"].replace("$__from", "").replace("$__to", "")
    if target["queryType"] == "time series":
        assert set(found[0]) == {"time", "metric", "value"}


def test_the_views_count_as_the_statistics_do(path: Path) -> None:
    assert rows(path, "SELECT class, COUNT(*) AS events, SUM(duration_s) AS s FROM events GROUP BY class") == [
        {"class": "dog_bark", "events": 2, "s": 360.0},
        {"class": "siren", "events": 21, "s": 210.0},
    ]
    assert rows(path, "SELECT SUM(span_s) AS span_s, SUM(scored_s) AS scored_s FROM coverage") == [
        {"span_s": (14 * 24 + 6) * 3600.0, "scored_s": (14 * 24 + 5) * 3600.0}
    ]
    assert rows(path, "SELECT duration_s, reason FROM gaps") == [{"duration_s": 3600.0, "reason": "capture"}]


def test_panels_have_places_of_their_own() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
