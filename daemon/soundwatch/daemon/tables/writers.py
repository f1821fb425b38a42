"""Write lines as JSON lines, CSV, Parquet, labels of Audacity or selection tables of Raven.

Conventions: a file that is open for reading is an iterable of lines. JSON lines are copied; in all other formats a row
is an event (`tables/event_rows.py`). A file is complete or absent, and replaces an existing file.
Does not: select events.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.atomic_file import replace_file
from soundwatch.daemon.core.process.extras import install_command
from soundwatch.daemon.tables.event_rows import EventRow, event_rows
from soundwatch.daemon.tables.labels import check_replaceable, write_audacity, write_raven

TableFormat = Literal["jsonl", "csv", "parquet", "audacity", "raven"]
FORMATS: Final[tuple[TableFormat, ...]] = ("jsonl", "csv", "parquet", "audacity", "raven")
_SUFFIXES: Final[dict[str, TableFormat]] = {
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}
_ROWS_AT_ONCE: Final = 8192


def resolve_format(path: Path, named: TableFormat | None) -> TableFormat:
    """Return the format of a file: the given one, or the one of its suffix.

    Raises:
        ConfigError: The suffix is unknown, a package is not installed, or the path cannot be replaced.
    """
    chosen = named or _SUFFIXES.get(path.suffix.lower())
    if chosen is None:
        raise ConfigError(
            f"The suffix of {path} names no format. Use .jsonl, .csv or .parquet, or give --format {'|'.join(FORMATS)}."
        )
    if chosen == "audacity":
        check_replaceable(path)
    if chosen == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401  # checked before the work begins
        except ImportError as error:
            raise ConfigError(
                "Parquet needs the Python package pyarrow, which is not installed. Install it with "
                f"{install_command('scan')}, or name a .jsonl or .csv file."
            ) from error
    return chosen


def write_table(lines: Iterable[bytes], path: Path, format_: TableFormat) -> None:
    """Write lines to a file; for Audacity to a folder with one file for each recording.

    Raises:
        ConfigError: The folder holds files that are not labels.
        SinkError: The file cannot be written; no part of it is left.
    """

    def write(part: Path) -> None:
        _WRITERS[format_](lines, part)
        if part.is_dir():
            check_replaceable(path)
            shutil.rmtree(path, ignore_errors=True)

    try:
        replace_file(path, write)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror or error}. Give a place in a folder that exists, that has "
            "room and that this user may write to."
        ) from error


def _write_jsonl(lines: Iterable[bytes], path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(lines)


def _write_csv(lines: Iterable[bytes], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(EventRow.__struct_encode_fields__)
        writer.writerows(msgspec.structs.astuple(row) for row, _ in event_rows(lines))


def _write_parquet(lines: Iterable[bytes], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    moment = pyarrow.timestamp("ms", tz="UTC")
    types = {bool: pyarrow.bool_(), str: pyarrow.string(), int: pyarrow.int32(), float: pyarrow.float64()}
    columns = [
        (field.encode_name, moment if field.name in ("onset", "offset") else types[_plain(field.type)])
        for field in msgspec.structs.fields(EventRow)
    ]
    schema = pyarrow.schema(columns)
    rows = (msgspec.to_builtins(row) for row, _ in event_rows(lines))
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _ROWS_AT_ONCE)):
            for row in batch:
                row |= {key: row[key] and datetime.fromisoformat(row[key]) for key in ("onset", "offset")}
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


def _plain(type_: Any) -> type:
    """Return `str` for `str | None`."""
    return type_ if isinstance(type_, type) else _plain(type_.__args__[0])


_WRITERS: Final[dict[TableFormat, Callable[[Iterable[bytes], Path], None]]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
    "audacity": write_audacity,
    "raven": write_raven,
}
