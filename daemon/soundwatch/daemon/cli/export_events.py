"""`soundwatch export-events`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from soundwatch.daemon.cli.options import apply_journal, config_option, filter_options, journal_option
from soundwatch.daemon.core.config import load_config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.tables.writers import FORMATS, TableFormat, resolve_format, write_table


@click.command("export-events")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "table_format",
    type=click.Choice(FORMATS),
    help="Where the name of OUT does not tell. For audacity OUT is a folder: one file of labels a source.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@filter_options
@config_option
@journal_option
def export_events(
    out: Path,
    table_format: TableFormat | None,
    overwrite: bool,
    config_path: Path | None,
    journal: str | None,
    **filters: Any,
) -> None:
    """Write the journal's events to OUT: a table with a row for each event, or JSON lines.

    The table is made of the lines that the options select.
    """
    from soundwatch.daemon.journal import query
    from soundwatch.daemon.journal.location import open_for_reading

    chosen = resolve_format(out, table_format)
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists. Give another file, or --overwrite to replace it.")
    store = open_for_reading(apply_journal(load_config(config_path), journal).journal)
    wanted = query.parse_filter(datetime.now(UTC), **filters)
    query.check_names(store, wanted)
    lines = 0

    def read() -> Iterator[bytes]:
        nonlocal lines
        for entry in query.read_lines(store, wanted):
            lines += 1
            yield entry.line

    write_table(read(), out, chosen)
    click.echo(f"{lines} lines of {store.path} written to {out} as {chosen}.", err=True)
