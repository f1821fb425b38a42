"""`soundwatch export-events`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from soundwatch.daemon.cli.options import (
    OutputPath,
    apply_journal,
    check_overwrite,
    config_option,
    filter_options,
    journal_file,
    overwrite_option,
    stored_journal_option,
)
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.text.messages import counted
from soundwatch.daemon.tables.writers import FORMATS, TableFormat, resolve_format, write_table


@click.command("export-events")
@click.argument("out", type=OutputPath())
@click.option(
    "--format",
    "table_format",
    type=click.Choice(FORMATS),
    help="Format, if the name of OUT does not give it. For audacity, OUT is a folder with a label file for each "
    "source.",
)
@overwrite_option
@filter_options
@config_option
@stored_journal_option
def export_events(
    out: Path,
    table_format: TableFormat | None,
    overwrite: bool,
    config_path: Path | None,
    journal: str | None,
    **filters: Any,
) -> None:
    """Write the journal's events to OUT: a table with a row for each event, or JSON lines.

    The options select the lines.
    """
    from soundwatch.daemon.journal.location import open_for_reading
    from soundwatch.daemon.journal.queries import query

    chosen = resolve_format(out, table_format)
    config = apply_journal(load_config(config_path), journal)
    check_overwrite(out, overwrite, journal_file(config), config_path)
    store = open_for_reading(config.journal)
    line_filter = query.parse_filter(datetime.now(UTC), **filters)
    query.check_names(store, line_filter)
    lines = 0

    def read() -> Iterator[bytes]:
        nonlocal lines
        for entry in query.read_lines(store, line_filter):
            lines += 1
            yield entry.line

    write_table(read(), out, chosen)
    click.echo(f"{counted(lines, 'line')} of {store.path} written to {out} as {chosen}.", err=True)
