"""Reader of CSV files that list recordings.

Conventions: commas, semicolons or tabs separate the columns; a byte order mark is skipped; line ends are those of any
system. Of each row only the wanted columns are returned, as text without surrounding blanks; a row that is too short
has empty text. A row comes with its place in the file, for messages.
Does not: know what the columns mean.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import DataError

_SHOWN_LETTERS: Final = 60

Row = dict[str, str]


def read_table(path: Path, columns: Sequence[str], advice: str) -> list[tuple[str, Row]]:
    """Read the wanted columns of all rows, each with its place.

    Args:
        path: The CSV file.
        columns: Names of the wanted columns.
        advice: What to do about a wrong file, in sentences.

    Raises:
        DataError: The file cannot be read, is no CSV in UTF-8, lacks a column, or has no rows.
    """
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is no regular file, so it does not read as CSV. {advice}")
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            table = csv.DictReader(file, delimiter=delimiter)
            given = [name.strip() for name in table.fieldnames or []]
            table.fieldnames = given
            lacking = [column for column in columns if column not in given]
            if lacking:
                raise DataError(
                    f"{path} has the columns {_shortened(', '.join(given)) or '(none)'} and lacks "
                    f"{', '.join(lacking)}. {advice}"
                )
            rows = [
                (f"{path} line {table.line_num}", {column: (row[column] or "").strip() for column in columns})
                for row in table
            ]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not in UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}. Save it in UTF-8. "
            f"{advice}"
        ) from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} does not read as CSV: {error}. {advice}") from error
    if not rows:
        raise DataError(f"{path} lists no recordings; one in each row was expected. {advice}")
    return rows


def describe_row(row: Row) -> str:
    """Return the columns of a row for a message; long text is cut."""
    return ", ".join(f"{column} {_shortened(value)!r}" for column, value in row.items())


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_LETTERS else f"{text[:_SHOWN_LETTERS]}..."
