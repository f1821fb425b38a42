"""The fleet's store, in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from soundwatch.daemon.core.errors import ConfigError, StoreError
from soundwatch.daemon.fleet.database import database_url
from soundwatch.daemon.fleet.gap_tracker import JournalCoverage
from soundwatch.daemon.fleet.node_json import node_record
from soundwatch.daemon.fleet.node_status import NodeStatus, with_report, with_status
from soundwatch.daemon.fleet.store import Batch, FleetStore
from soundwatch.daemon.journal.queries.query import LineFilter
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks.mqtt.node_report import SourceReport
from support.fleet_harness import BEGIN, BEGIN_NS, JOURNAL, line_of, report_of, status_of
from support.postgres import Postgres


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.external)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "fleet.db")
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def store(address: str) -> Iterator[FleetStore]:
    opened = FleetStore(address)
    yield opened
    opened.close()


def kept(store: FleetStore, *seqs: int, node: str = "edge1") -> None:
    store.save(Batch([line_of(seq, node) for seq in seqs], {}, (), []))


@pytest.mark.slow
def test_a_line_is_kept_once_and_as_it_came(store: FleetStore) -> None:
    kept(store, 1, 2)
    kept(store, 2, 3)
    assert list(store.lines(LineFilter())) == [line_of(seq).line for seq in (1, 2, 3)]


def test_lines_are_found_by_machine_class_type_and_time(store: FleetStore) -> None:
    store.save(
        Batch(
            [line_of(1), line_of(2, **{"class": "dog_bark"}), line_of(3, type="end"), line_of(4, "edge2")], {}, (), []
        )
    )

    def found(nodes: Sequence[str] = (), last: int | None = None, **keys: Any) -> list[str]:
        return [line.partition('"seq":')[2][0] for line in store.lines(LineFilter(**keys), nodes, last)]

    assert found(nodes=["edge2"]) == ["4"]
    assert found(classes=("dog_bark",)) == ["2"]
    assert found(types=("start",), sources=("mic0",)) == ["1", "2", "4"]
    assert found(since="2026-11-22T08:15:04.418Z") == ["2", "3", "4"]
    assert found(until="2026-11-22T08:15:04.418Z") == ["1"]
    assert found(last=2) == ["3", "4"]


def test_machines_and_accounts_outlast_a_restart(address: str) -> None:
    store = FleetStore(address)
    node = with_report(
        with_status(NodeStatus("edge1"), status_of("online")),
        report_of(9, 8, sources={"mic0": SourceReport(hearing="heard")}),
    )
    account = JournalCoverage(3, 8, ((3, 5), (7, 8)), ((6, 6),))
    store.save(Batch([], {("edge1", JOURNAL): JournalCoverage(1)}, (), [NodeStatus("edge1")]))
    store.save(Batch([], {("edge1", JOURNAL): account}, (), [node]))
    store.close()
    again = FleetStore(address, writing=False)
    assert again.coverages() == {("edge1", JOURNAL): account}
    found = again.nodes()[0]
    assert (found.report, found.status, found.skew_s) == (node.report, "online", 0.0)
    assert found.state(BEGIN_NS) == "online"
    again.close()


def test_active_events_come_from_the_last_report(store: FleetStore) -> None:
    source = SourceReport(hearing="heard", active=("E2",))
    node = with_report(with_status(NodeStatus("edge1"), status_of("online")), report_of(9, 8, sources={"mic0": source}))
    store.save(Batch([line_of(1), line_of(2), line_of(3, id="E2", type="update")], {}, (), [node]))
    assert node_record(store.nodes()[0], BEGIN_NS).active == ("siren at mic0",)
    store.save(Batch([], {}, (), [with_status(node, status_of("offline"))]))
    assert node_record(store.nodes()[0], BEGIN_NS).active == ()


def test_a_clip_that_does_not_fit_is_not_stored(store: FleetStore) -> None:
    broken = Batch([line_of(1)], {("edge1", JOURNAL): JournalCoverage(1, held=((1, 1),))}, (), [NodeStatus(None)])  # type: ignore[arg-type]
    with pytest.raises(sql.exc.SQLAlchemyError):
        store.save(broken)
    assert (list(store.lines(LineFilter())), store.coverages()) == ([], {})


@pytest.mark.slow
def test_old_lines_are_dropped(store: FleetStore) -> None:
    keep = timedelta(seconds=0.5)
    assert store.drop_old(BEGIN, keep) == 0
    kept(store, 1, 2, 3)
    assert store.drop_old(datetime(2020, 1, 1, tzinfo=UTC), keep) == 0
    assert store.drop_old(BEGIN + timedelta(seconds=2.9), keep) == 1, "line 3 is in the future"
    assert store.drop_old(datetime(2106, 1, 1, tzinfo=UTC), keep) == 1, "a clock that is ahead keeps the last line"
    assert list(store.lines(LineFilter())) == [line_of(3).line]


def test_a_line_of_a_clock_that_was_not_set_goes_with_the_next_line_of_known_age(store: FleetStore) -> None:
    unset, keep = "1970-01-01T00:00:07.000Z", timedelta(seconds=0.5)
    lines = [line_of(seq, time=unset) for seq in (1, 2, 4)] + [line_of(1, "edge2", time=unset), line_of(3), line_of(5)]
    store.save(Batch(lines, {}, (), []))
    assert store.drop_old(BEGIN + timedelta(seconds=3.1), keep) == 0
    assert store.drop_old(BEGIN + timedelta(seconds=5.1), keep) == 3, "lines 1 to 3; line 5 tells the age of line 4"
    left = [line_of(4, time=unset), line_of(1, "edge2", time=unset), line_of(5)]
    assert list(store.lines(LineFilter())) == [message.line for message in left]


def test_the_work_of_dropping_lines_of_an_unset_clock_grows_with_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def count_steps(connection: sqlite3.Connection, _: object) -> None:
        connection.set_progress_handler(lambda: steps.append(1), 100)  # a call for each 100 instructions

    def steps_of(count: int) -> int:
        store = FleetStore(str(tmp_path / f"{count}.db"))
        unset = [line_of(seq, time="1970-01-01T00:00:07.000Z") for seq in range(1, count)]
        store.save(Batch([*unset, *(line_of(seq) for seq in range(count, 2 * count))], {}, (), []))
        sql.event.listen(store._engine, "connect", count_steps)
        store._engine.dispose()
        steps.clear()
        assert store.drop_old(BEGIN + timedelta(seconds=2 * count), timedelta(seconds=count + 10)) == 0
        store.close()
        return len(steps)

    assert steps_of(1200) < 8 * steps_of(300), "four times as many lines; each line with each other one is 16 times"


@pytest.mark.slow
def test_postgresql_can_be_queried_directly(postgres: Postgres) -> None:
    address = postgres.database()
    store = FleetStore(address)
    kept(store, 1, 2)
    query = (
        "SELECT node, class, time AT TIME ZONE 'UTC', (line::jsonb ->> 'score')::float FROM lines ORDER BY time LIMIT 1"
    )
    store.close()
    assert postgres.ask(address, query) == "edge1|siren|2026-11-22 08:15:03.418|0.9"


@pytest.mark.slow
def test_a_store_of_another_release_is_refused(address: str) -> None:
    store = FleetStore(address)
    engine = sql.create_engine(database_url(address))
    with engine.begin() as db:
        db.execute(sql.text("UPDATE format SET format = 99"))
    engine.dispose()
    store.close()
    with pytest.raises(StoreError, match="of format 99; this release reads format 1"):
        FleetStore(address)


def test_readers_do_not_create_a_missing_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"There is no fleet store at .*; `soundwatch fleet watch` creates it"):
        FleetStore(str(tmp_path / "none.db"), writing=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writing", [True, False])
def test_a_journal_is_no_store_and_is_not_changed(tmp_path: Path, writing: bool) -> None:
    path = tmp_path / "journal.db"
    JournalStore(path).close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is a database of another program, not a fleet store"):
        FleetStore(str(path), writing=writing)
    assert path.read_bytes() == before


def test_a_store_whose_pages_are_damaged_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    store = FleetStore(str(path))
    kept(store, *range(1, 200))
    store.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    damaged = FleetStore(str(path), writing=False)
    with pytest.raises(StoreError, match=r"The fleet store fleet.db cannot be read: .*malformed"):
        list(damaged.lines(LineFilter()))
    damaged.close()


def test_a_server_without_a_response_is_reported() -> None:
    with pytest.raises(StoreError, match=r"cannot be opened: .*[Cc]onnection"):
        FleetStore("postgresql://soundwatch@127.0.0.1:1/fleet")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("postgresql://me:secret@host/fleet", "the address contains a password"),
        ("postgresql://host/fleet?password=secret", "the address contains a password"),
        ("mysql://host/fleet", "is not a store"),
        ("postgresql://host", "is not a store"),
        ("postgresql://host:port/fleet", "is not a store"),
        ("postgresql://me:secret@host:port/fleet", "is not a store"),
    ],
)
def test_a_wrong_address_is_refused(address: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        database_url(address)
    assert "secret" not in str(caught.value)
