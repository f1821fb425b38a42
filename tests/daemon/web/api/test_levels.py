"""Sound levels in the API: stored ones by their period, and those of each second in a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from websockets.sync.client import connect

from support.level_factory import level_line, period_line
from support.web_harness import Site, a_site, event_line, wait_until

HOURS = [f"2026-11-22T{hour:02d}:00:00.000Z" for hour in range(24)]


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


def hour(number: int, laeq_db: float | None = -40.0, **changes: Any) -> Any:
    return period_line(HOURS[number], changes.pop("time", HOURS[number + 1]), laeq_db, **({"period": "1h"} | changes))


def quarter(minute: int, **changes: Any) -> Any:
    return period_line(f"2026-11-22T08:{minute:02d}:00.000Z", f"2026-11-22T08:{minute + 14}:59.999Z", -40.0, **changes)


def found(site: Site, **query: Any) -> list[dict[str, Any]]:
    answer = site.get("/api/levels", params=query)
    assert answer.status_code == 200, answer.text
    levels: list[dict[str, Any]] = answer.json()["levels"]
    return levels


def test_levels_are_the_lines_of_the_journal_oldest_first(site: Site) -> None:
    first, second = quarter(0), quarter(15, source="yard", calibrated=True)
    site.append(event_line(1), first, second, hour(8), hour(9, period="day", lden_db=-38.5))
    assert found(site) == [msgspec.to_builtins(msgspec.structs.replace(line, seq=seq)) for seq, line in
                           ((2, first), (3, second))]  # fmt: skip
    assert [level["seq"] for level in found(site, period="1h")] == [4]
    assert [level["lden_db"] for level in found(site, period="day")] == [-38.5]
    assert [level["source"] for level in found(site, source="yard")] == ["yard"]
    assert found(site, source="nowhere") == []


def test_a_range_of_times_has_the_periods_that_begin_in_it(site: Site) -> None:
    site.append(*(hour(number, float(-number)) for number in range(5)))
    chosen = found(site, period="1h", since="2026-11-22T02:00:00+01:00", until=HOURS[3])
    assert [level["start"] for level in chosen] == HOURS[1:3]
    assert found(site, period="1h", since=HOURS[5]) == []
    assert len(found(site, period="1h", until=HOURS[2])) == 2


def test_a_period_that_a_restart_split_has_both_lines(site: Site) -> None:
    site.append(hour(8, time="2026-11-22T08:20:00.000Z", coverage=0.33), hour(8, coverage=0.6))
    assert [level["coverage"] for level in found(site, period="1h", since=HOURS[8], until=HOURS[9])] == [0.33, 0.6]


def test_digital_silence_has_no_level(site: Site) -> None:
    site.append(hour(8, None))
    assert found(site, period="1h")[0]["laeq_db"] is None


def test_pages_of_levels_follow_one_another(site: Site) -> None:
    site.append(*(hour(number) for number in range(5)))
    starts = list[str]()
    after: int | None = 0
    while after is not None:
        page = site.get("/api/levels", params={"period": "1h", "limit": 2, "after": after}).json()
        assert 1 <= len(page["levels"]) <= 2
        starts += [level["start"] for level in page["levels"]]
        after = page["next"]
    assert starts == HOURS[:5]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("period=1min", "Invalid enum value '1min'"),
        ("since=yesterday", "a time with its zone was expected"),
        ("since=2026-02-30T00:00:00Z", "2026-02-30T00:00:00Z is not a time"),
        ("limit=0", "`limit`"),
        ("before=3", "before is not a parameter"),
    ],
)
def test_a_wrong_query_for_levels_is_refused_with_its_reason(site: Site, query: str, reason: str) -> None:
    refused = site.get(f"/api/levels?{query}")
    assert refused.status_code == 400
    assert reason in refused.json()["error"]


def test_levels_of_seconds_are_streamed_only_on_request(site: Site) -> None:
    address = site.websocket_url
    with connect(address) as plain, connect(f"{address}?level=1") as asking:
        assert [json.loads(client.recv())["type"] for client in (plain, asking)] == ["welcome", "welcome"]
        wait_until(lambda: len(site.view.live._levels) == 1)
        site.view.live.publish_level(level_line(-41.2))
        level = json.loads(asking.recv())
        assert (level["type"], level["period"], level["laeq_db"], level["calibrated"]) == ("level", "1s", -41.2, False)
        site.append(event_line(1))
        assert json.loads(plain.recv())["type"] == "start", "and nothing before it"
    wait_until(lambda: len(site.view.live._levels) == 0)
