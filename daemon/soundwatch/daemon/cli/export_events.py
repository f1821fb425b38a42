"""`soundwatch export-events`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from soundwatch.daemon.cli.options import apply_journal, config_option, filter_options, journal_option
from soundwatch.daemon.core.config import load_config
from soundwatch.daemon.tables.writers import FORMATS, TableFormat, resolve_format, write_table


@click.command("export-events")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "table_format",
    type=click.Choice(FORMATS),
    help="Where the name of OUT does not tell. For audacity OUT is a folder: one file of labels a source.",
)
@filter_options
@config_option
@journal_option
def export_events(
    out: Path, table_format: TableFormat | None, config_path: Path | None, journal: str | None, **asked: Any
) -> None:
    """Write what was heard, out of the journal, to OUT: a table for other programs, or its lines as they are.

    In tables a row is an event. Where --type leaves out lines, so does the table.
    """
    from soundwatch.daemon.journal import query
    from soundwatch.daemon.journal.location import open_for_reading

    chosen = resolve_format(out, table_format)
    store = open_for_reading(apply_journal(load_config(config_path), journal).journal)
    wanted = query.parse_filter(datetime.now(UTC), **asked)
    write_table((entry.line for entry in query.read_lines(store, wanted)), out, chosen)
