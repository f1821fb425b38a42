"""What a fleet's machines have told, in SQLite or PostgreSQL, by SQLAlchemy.

Conventions: lines, and what is known to be here, are kept together or not at all.
Rule: no password belongs into an address, where others can read it; PGPASSWORD and ~/.pgpass are read by libpq.
Does not: say which columns there are (`fleet/tables.py`), or decide what is kept (`collector.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from soundwatch.daemon.core.errors import ConfigError, StoreError
from soundwatch.daemon.fleet.gap_tracker import JournalCoverage, Key
from soundwatch.daemon.fleet.messages import LineHeader, LineMessage
from soundwatch.daemon.fleet.node_status import NodeStatus
from soundwatch.daemon.fleet.tables import (
    FORMATS,
    JOURNALS,
    LINES,
    NODES,
    SCHEMA,
    account_row,
    line_row,
    node_of,
    node_row,
    parse_ranges,
)
from soundwatch.daemon.journal.query import LineFilter

FORMAT: Final = 1
PAGE_LINES: Final = 1000
POSTGRESQL_PATIENCE: Final = {  # of libpq; a server that says nothing must not hold the program up for ever
    "connect_timeout": 10,
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 10,
    "options": "-c statement_timeout=60000",
}
SECRETS: Final = ("password", "passfile", "sslpassword")


@dataclass(frozen=True, slots=True)
class Batch:
    """What is kept at once.

    Attributes:
        lines: New lines.
        accounts: What has changed of what is here.
        nodes: Machines of which something has changed.
    """

    lines: Sequence[LineMessage]
    accounts: Mapping[Key, JournalCoverage]
    nodes: Sequence[NodeStatus]


class FleetStore:
    """An open store. For one thread at a time.

    Args:
        address: `postgresql://[USER@]HOST[:PORT]/DATABASE`, or a file.
        writing: Whether it is made where it is not there.

    Raises:
        ConfigError: The address is none, or holds a password.
        StoreError: It cannot be opened.
    """

    def __init__(self, address: str, *, writing: bool = True) -> None:
        url = database_url(address)
        self.name = address if "://" in address else Path(address).name
        if url.get_backend_name() == "sqlite" and not writing and not Path(url.database or "").is_file():
            raise StoreError(f"There is no fleet's store at {url.database}; `soundwatch fleet watch` makes it.")
        patience = {} if url.get_backend_name() == "sqlite" else POSTGRESQL_PATIENCE
        self._engine = sql.create_engine(url, pool_pre_ping=True, connect_args=patience)
        if self._engine.name == "sqlite":
            sql.event.listen(self._engine, "connect", _prepare)
        try:
            if writing:
                SCHEMA.create_all(self._engine)
            self._check_format(address, writing)
        except StoreError:
            self._engine.dispose()
            raise
        except (sql.exc.SQLAlchemyError, OSError) as error:
            self._engine.dispose()
            raise StoreError(f"The fleet's store {address} cannot be opened: {database_error_text(error)}.") from error

    def keep(self, batch: Batch) -> None:
        """Keep all of it, or nothing.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: It cannot be done now.
        """
        with self._engine.begin() as db:
            if batch.lines:
                db.execute(self._insert(LINES).on_conflict_do_nothing(), [line_row(line) for line in batch.lines])
            self._upsert(db, JOURNALS, [account_row(*each) for each in batch.accounts.items()])
            self._upsert(db, NODES, [node_row(node) for node in batch.nodes])

    def accounts(self) -> dict[Key, JournalCoverage]:
        """What is known to be here."""
        with self._engine.connect() as db:
            return {
                (row.node, row.journal): JournalCoverage(
                    row.begin, row.sent_seq, parse_ranges(row.held), parse_ranges(row.gone)
                )
                for row in db.execute(sql.select(JOURNALS))
            }

    def nodes(self) -> list[NodeStatus]:
        """Every machine, as it was when something was last kept of it."""
        with self._engine.connect() as db:
            nodes = [node_of(row) for row in db.execute(sql.select(NODES).order_by(NODES.c.node))]
            return [replace(node, active=self._active(db, node)) for node in nodes]

    def lines(self, wanted: LineFilter, nodes: Sequence[str] = (), last: int | None = None) -> Iterator[str]:
        """Lines as they came, by their time; of many only the `last`."""
        columns = LINES.c
        query = sql.select(columns.line).where(*_conditions(wanted, nodes))
        by_time = (columns.time, columns.node, columns.journal, columns.seq)
        with self._engine.connect() as db:
            if last is not None:
                newest = query.order_by(*(column.desc() for column in by_time)).limit(last)
                yield from reversed(db.execute(newest).scalars().all())
                return
            yield from db.execution_options(yield_per=PAGE_LINES).execute(query.order_by(*by_time)).scalars()

    def drop_before(self, moment: datetime) -> int:
        """Drop the lines whose time is before a moment.

        Returns:
            How many that were.
        """
        with self._engine.begin() as db:
            return db.execute(sql.delete(LINES).where(LINES.c.time < moment)).rowcount

    def close(self) -> None:
        """Close it."""
        self._engine.dispose()

    def _active(self, db: sql.Connection, node: NodeStatus) -> dict[str, LineMessage]:
        """The events that last, by a machine's last report."""
        sources = node.report.sources.values() if node.report and node.status == "online" else ()
        ids = [id_ for source in sources for id_ in source.active]
        if not ids:
            return {}
        columns = LINES.c
        query = sql.select(columns.id, columns.journal, columns.line).where(
            columns.node == node.name, columns.id.in_(ids), columns.type == "start"
        )
        return {
            row.id: LineMessage(node.name, row.journal, msgspec.json.decode(row.line, type=LineHeader), row.line)
            for row in db.execute(query)
        }

    def _insert(self, table: sql.Table) -> Any:
        return (sqlite if self._engine.name == "sqlite" else postgresql).insert(table)

    def _upsert(self, db: sql.Connection, table: sql.Table, rows: Sequence[dict[str, Any]]) -> None:
        """Put rows in the place of those with the same key."""
        if not rows:
            return
        insert = self._insert(table)
        keys = [column.name for column in table.primary_key]
        others = {column.name: insert.excluded[column.name] for column in table.c if column.name not in keys}
        db.execute(insert.on_conflict_do_update(index_elements=keys, set_=others), rows)

    def _check_format(self, address: str, writing: bool) -> None:
        with self._engine.begin() as db:
            found = db.execute(sql.select(FORMATS.c.format)).scalar_one_or_none()
            if found is None and writing:
                db.execute(self._insert(FORMATS).on_conflict_do_nothing(), [{"format": FORMAT}])
            elif found != FORMAT:
                raise StoreError(f"{address} is a fleet's store of format {found}; this release reads {FORMAT}.")


def database_url(address: str) -> sql.URL:
    """An address for SQLAlchemy.

    Raises:
        ConfigError: It is none, or holds a password.
    """
    if "://" not in address:
        return sql.URL.create("sqlite", database=str(Path(address).expanduser().absolute()))
    try:
        url = sql.make_url(address)
    except (sql.exc.ArgumentError, ValueError):
        url = sql.URL.create("")
    if url.password is not None or any(key in url.query for key in SECRETS):
        raise ConfigError(
            "--store: a password does not belong into an address, where others can read it. Set PGPASSWORD, or write "
            "it into ~/.pgpass."
        )
    if url.get_backend_name() not in ("postgresql", "postgres") or not url.database:
        raise ConfigError(
            f"--store {address} is no store; postgresql://[USER@]HOST[:PORT]/DATABASE, or a file for SQLite, was "
            "wanted."
        )
    return url.set(drivername="postgresql+psycopg")


def database_error_text(error: Exception) -> str:
    """What a database says, in one line."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0].rstrip(".")


def _conditions(wanted: LineFilter, nodes: Sequence[str]) -> list[Any]:
    columns = LINES.c
    found: list[Any] = []
    if wanted.since:
        found.append(columns.time >= datetime.fromisoformat(wanted.since))
    if wanted.until:
        found.append(columns.time < datetime.fromisoformat(wanted.until))
    chosen = (("class", wanted.classes), ("source", wanted.sources), ("type", wanted.types), ("node", nodes))
    return found + [columns[name].in_(values) for name, values in chosen if values]


def _prepare(connection: Any, _: object) -> None:
    """Set an SQLite file up."""
    for setting in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 5000"):
        connection.execute(f"PRAGMA {setting}")
