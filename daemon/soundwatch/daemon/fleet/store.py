"""Stores the lines of a fleet in SQLite or PostgreSQL, with SQLAlchemy.

Conventions: lines, coverage and nodes of a batch are written in one transaction.
Does not: parse addresses (`database.py`), define the tables (`tables.py`), or decide which lines are stored
(`collector.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.core.files.paths import is_file
from soundwatch.daemon.core.time.clock import EARLIEST_NS, SECOND_NS
from soundwatch.daemon.fleet.database import (
    HANGING_S,
    POSTGRESQL_TIMEOUTS,
    database_error_text,
    database_url,
    silence_driver,
)
from soundwatch.daemon.fleet.gap_tracker import JournalCoverage, Key
from soundwatch.daemon.fleet.messages import LineHeader, LineMessage
from soundwatch.daemon.fleet.node_status import NodeStatus
from soundwatch.daemon.fleet.server_deadline import ServerDeadline
from soundwatch.daemon.fleet.tables import (
    FORMATS,
    JOURNALS,
    LINES,
    NODES,
    SCHEMA,
    coverage_row,
    line_row,
    node_row,
    parse_node,
    parse_ranges,
)
from soundwatch.daemon.journal.queries.query import LineFilter

FORMAT: Final = 1
PAGE_LINES: Final = 1000
EARLIEST: Final = datetime.fromtimestamp(EARLIEST_NS // SECOND_NS, UTC)


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of one transaction.

    Attributes:
        lines: New lines.
        coverages: Changed coverages.
        forgotten: Journals whose coverage is deleted.
        nodes: Changed nodes.
    """

    lines: Sequence[LineMessage]
    coverages: Mapping[Key, JournalCoverage]
    forgotten: Collection[Key]
    nodes: Sequence[NodeStatus]


class FleetStore:
    """An open store, for one thread at a time.

    Args:
        address: `postgresql://[USER@]HOST[:PORT]/DATABASE`, or a file.
        writing: Create a missing store.

    Raises:
        ConfigError: The address is invalid, or contains a password.
        StoreError: The store cannot be opened.
    """

    def __init__(self, address: str, *, writing: bool = True) -> None:
        url = database_url(address)
        self.name = address if "://" in address else Path(address).name
        if url.get_backend_name() == "sqlite" and not writing and not is_file(Path(url.database or "")):
            raise StoreError(f"There is no fleet store at {url.database}; `soundwatch fleet watch` creates it.")
        timeouts = {} if url.get_backend_name() == "sqlite" else POSTGRESQL_TIMEOUTS
        self._engine = sql.create_engine(url, pool_pre_ping=True, connect_args=timeouts)
        self._deadline: ServerDeadline | None = None
        if self._engine.name == "sqlite":
            sql.event.listen(self._engine, "connect", _prepare)
        else:
            silence_driver()
            self._deadline = ServerDeadline(self._engine, HANGING_S)
        try:
            self._check_owner(address)
            if writing:
                SCHEMA.create_all(self._engine)
            self._check_format(address, writing=writing)
        except StoreError:
            self.close()
            raise
        except (sql.exc.SQLAlchemyError, OSError) as error:
            self.close()
            raise StoreError(f"The fleet store {address} cannot be opened: {database_error_text(error)}.") from error

    def save(self, batch: Batch) -> None:
        """Write a batch, completely or not at all.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The store cannot be written now.
        """
        with self._writing() as db:
            if batch.lines:
                db.execute(self._insert(LINES).on_conflict_do_nothing(), [line_row(line) for line in batch.lines])
            self._upsert(db, JOURNALS, [coverage_row(*item) for item in batch.coverages.items()])
            for node, journal in batch.forgotten:
                db.execute(sql.delete(JOURNALS).where(JOURNALS.c.node == node, JOURNALS.c.journal == journal))
            self._upsert(db, NODES, [node_row(node) for node in batch.nodes])

    def coverages(self) -> dict[Key, JournalCoverage]:
        """Return the coverage of all journals.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._reading() as db:
            return {
                (row.node, row.journal): JournalCoverage(
                    row.begin, row.sent_seq, parse_ranges(row.held), parse_ranges(row.gone)
                )
                for row in db.execute(sql.select(JOURNALS))
            }

    def nodes(self) -> list[NodeStatus]:
        """Return all nodes, as they were stored last.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._reading() as db:
            nodes = [parse_node(row) for row in db.execute(sql.select(NODES).order_by(NODES.c.node))]
            return [replace(node, active=self._active(db, node)) for node in nodes]

    def lines(self, line_filter: LineFilter, nodes: Sequence[str] = (), last: int | None = None) -> Iterator[str]:
        """Yield lines in order of time; only the `last` ones if given.

        Raises:
            StoreError: The store cannot be read.
        """
        columns = LINES.c
        query = sql.select(columns.line).where(*_conditions(line_filter, nodes))
        by_time = (columns.time, columns.node, columns.journal, columns.seq)
        with self._reading() as db:
            if last is not None:
                newest = query.order_by(*(column.desc() for column in by_time)).limit(last)
                yield from reversed(db.execute(newest).scalars().all())
                return
            yield from db.execution_options(yield_per=PAGE_LINES).execute(query.order_by(*by_time)).scalars()

    def drop_old(self, now: datetime, keep: timedelta) -> int:
        """Delete the lines that are older than `keep`, counted from the latest line that is not in the future.

        So a clock of this machine that is ahead by years deletes nothing, nor does a node with such a clock. A line of
        a clock that was not set goes with the next line of its journal whose time is known.

        Returns:
            Number of deleted lines.
        """
        latest = sql.select(sql.func.max(LINES.c.time)).where(LINES.c.time <= now)
        with self._writing() as db:
            time = db.execute(latest).scalar()
            selections = [] if time is None else _older_than(db, time - keep)
            return sum(db.execute(sql.delete(LINES).where(selection)).rowcount for selection in selections)

    def hurry(self, limit_s: float) -> None:
        """Limit the time of each change, also of the one that is under way."""
        if self._deadline is not None:
            self._deadline.limit_s = limit_s

    def close(self) -> None:
        """Close the store."""
        if self._deadline is not None:
            self._deadline.close()
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[sql.Connection]:
        """Begin a transaction; after a failure, the next one has a new connection, perhaps to another server.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The store cannot be written now.
        """
        limit = contextlib.nullcontext() if self._deadline is None else self._deadline.limited()
        try:
            with limit, self._engine.begin() as db:
                yield db
        except sql.exc.SQLAlchemyError:
            self._engine.dispose()
            raise

    @contextmanager
    def _reading(self) -> Iterator[sql.Connection]:
        """Connect for reading.

        Raises:
            StoreError: The store cannot be read.
        """
        try:
            with self._engine.connect() as db:
                yield db
        except sql.exc.SQLAlchemyError as error:
            raise StoreError(f"The fleet store {self.name} cannot be read: {database_error_text(error)}.") from error

    def _active(self, db: sql.Connection, node: NodeStatus) -> dict[str, LineMessage]:
        """Return the active events of a node, by its last report."""
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
        """Insert rows, or replace those with equal keys."""
        if not rows:
            return
        insert = self._insert(table)
        keys = [column.name for column in table.primary_key]
        others = {column.name: insert.excluded[column.name] for column in table.c if column.name not in keys}
        db.execute(insert.on_conflict_do_update(index_elements=keys, set_=others), rows)

    def _check_owner(self, address: str) -> None:
        """Refuse a file of another program, such as a journal.

        Raises:
            StoreError: The file has tables, and none of them is that of a fleet store.
        """
        if self._engine.name != "sqlite":  # other programs may have tables in a database of PostgreSQL
            return
        tables = sql.inspect(self._engine).get_table_names()
        if tables and FORMATS.name not in tables:
            raise StoreError(f"{address} is a database of another program, not a fleet store. Give another --store.")

    def _check_format(self, address: str, *, writing: bool) -> None:
        with self._engine.begin() as db:
            found = db.execute(sql.select(FORMATS.c.format)).scalar_one_or_none()
            if found is None and writing:
                db.execute(self._insert(FORMATS).on_conflict_do_nothing(), [{"format": FORMAT}])
            elif found != FORMAT:
                raise StoreError(f"{address} is a fleet store of format {found}; this release reads format {FORMAT}.")


def _older_than(db: sql.Connection, limit: datetime) -> list[sql.ColumnElement[bool]]:
    """Select the lines that are older than a time; of one before 2026, a later line of its journal tells its age.

    One query finds these later lines, since a search for each line takes hours for a hundred thousand of them.
    """
    columns = LINES.c
    journals = sql.select(columns.node, columns.journal).where(columns.time < EARLIEST)
    known = columns.time.between(EARLIEST, limit), sql.tuple_(columns.node, columns.journal).in_(journals)
    last = sql.select(columns.node, columns.journal, sql.func.max(columns.seq)).where(*known)
    return [sql.and_(columns.time >= EARLIEST, columns.time < limit)] + [
        sql.and_(columns.node == node, columns.journal == journal, columns.seq < seq, columns.time < EARLIEST)
        for node, journal, seq in db.execute(last.group_by(columns.node, columns.journal))
    ]


def _conditions(line_filter: LineFilter, nodes: Sequence[str]) -> list[Any]:
    columns = LINES.c
    conditions: list[Any] = []
    if line_filter.since:
        conditions.append(columns.time >= datetime.fromisoformat(line_filter.since))
    if line_filter.until:
        conditions.append(columns.time < datetime.fromisoformat(line_filter.until))
    selections = (
        ("class", line_filter.classes),
        ("source", line_filter.sources),
        ("type", line_filter.types),
        ("node", nodes),
    )
    return conditions + [columns[name].in_(values) for name, values in selections if values]


def _prepare(connection: Any, _: object) -> None:
    """Configure an SQLite connection."""
    for setting in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 5000"):
        connection.execute(f"PRAGMA {setting}")
