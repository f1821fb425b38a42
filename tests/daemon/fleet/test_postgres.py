"""The fleet's store in a real PostgreSQL that refuses, ends connections, and hangs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sql

from soundwatch.daemon.fleet import server_deadline
from soundwatch.daemon.fleet.database import POSTGRESQL_TIMEOUTS, database_url
from soundwatch.daemon.fleet.store import Batch, FleetStore
from soundwatch.daemon.journal.queries.query import LineFilter
from support.fleet_harness import line_of
from support.postgres import Postgres

pytestmark = pytest.mark.external
END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@contextmanager
def locked(address: str) -> Iterator[None]:
    """Lock the table of lines in another session."""
    engine = sql.create_engine(database_url(address))
    with engine.begin() as db:
        db.execute(sql.text("LOCK TABLE lines IN ACCESS EXCLUSIVE MODE"))
        yield
    engine.dispose()


def save(store: FleetStore, seq: int) -> None:
    store.save(Batch([line_of(seq)], {}, (), []))


def seqs(store: FleetStore) -> list[str]:
    return [line.partition('"seq":')[2].partition(",")[0] for line in store.lines(LineFilter())]


def test_a_locked_table_is_a_failure_soon_and_loses_nothing(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "lock_timeout=5000" in str(POSTGRESQL_TIMEOUTS["options"])
    monkeypatch.setitem(POSTGRESQL_TIMEOUTS, "options", "-c lock_timeout=50")
    address = postgres.database()
    store = FleetStore(address)
    with locked(address), pytest.raises(sql.exc.OperationalError, match="lock timeout"):
        save(store, 1)
    save(store, 1)
    assert seqs(store) == ["1"]
    store.close()
    assert capfd.readouterr().err == "", "the driver prints nothing"


def test_a_server_that_hangs_is_left_when_the_program_stops(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(POSTGRESQL_TIMEOUTS, "options", "")
    monkeypatch.setattr(server_deadline, "CHECK_S", 0.02)
    address = postgres.database()
    store = FleetStore(address)
    save(store, 1)
    store.hurry(0.1)
    with locked(address), pytest.raises(sql.exc.OperationalError):
        save(store, 2)
    save(store, 2)
    assert seqs(store) == ["1", "2"]
    store.close()


@pytest.mark.parametrize(
    ("harm", "repair", "reason"),
    [
        ("ALTER TABLE lines RENAME COLUMN score TO other", "ALTER TABLE lines RENAME COLUMN other TO score", "score"),
        ("REVOKE INSERT ON lines FROM soundwatch", "GRANT INSERT ON lines TO soundwatch", "permission denied"),
        (
            "ALTER DATABASE {} SET default_transaction_read_only = on",
            "SET default_transaction_read_only = off; ALTER DATABASE {} SET default_transaction_read_only = off",
            "read-only",
        ),
    ],
    ids=["changed column", "no right", "read-only"],
)
def test_a_store_that_refuses_lines_takes_them_once_it_is_repaired(
    postgres: Postgres, harm: str, repair: str, reason: str
) -> None:
    address = postgres.database()
    name = address.rpartition("/")[2]
    if "REVOKE" in harm:  # a superuser needs no right
        postgres.ask(address, f"CREATE ROLE {name} LOGIN; GRANT ALL ON SCHEMA public TO {name}")
        harm, repair = harm.replace("soundwatch", name), repair.replace("soundwatch", name)
    store = FleetStore(address.replace("soundwatch@", f"{name}@") if "REVOKE" in harm else address)
    save(store, 1)
    postgres.ask(address, harm.format(name))
    postgres.ask(address, END_OTHERS)  # settings of a database are those of new sessions
    with pytest.raises(sql.exc.SQLAlchemyError, match=reason):
        save(store, 2)
    for command in repair.format(name, name).split("; "):
        postgres.ask(address.rpartition("/")[0] + "/postgres" if "DATABASE" in command else address, command)
    save(store, 2)
    assert seqs(store) == ["1", "2"]
    store.close()
