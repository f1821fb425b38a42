"""`soundwatch digest`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import click
import msgspec

from soundwatch.daemon.cli.options import (
    OutputPath,
    apply_journal,
    check_overwrite,
    config_option,
    journal_file,
    overwrite_option,
    stored_journal_option,
    write_output,
)
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import ConfigError


@click.command()
@click.option(
    "--day",
    metavar="[DATE]",
    is_flag=False,
    flag_value="today",
    help="A day: today, yesterday or a date. [default: today]",
)
@click.option(
    "--week",
    metavar="[DATE]",
    is_flag=False,
    flag_value="today",
    help="The week from Monday to Sunday that has this day.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "html", "json"]),
    default="text",
    show_default=True,
    help="html: a page in one file, without scripts.",
)
@click.option("-o", "--output", type=OutputPath(), help="File to write. [default: standard output]")
@overwrite_option
@config_option
@stored_journal_option
def digest(
    day: str | None,
    week: str | None,
    format_: Literal["text", "html", "json"],
    output: Path | None,
    overwrite: bool,
    config_path: Path | None,
    journal: str | None,
) -> None:
    """Print the statistics of a day or a week: events by class, source and hour, and the coverage.

    Days are those of `place.time_zone`, or of the system's time zone. A period that has not ended is compared with the
    one before up to the same time.
    """
    from soundwatch.daemon.journal.location import open_for_reading
    from soundwatch.daemon.statistics.compute import compute_statistics
    from soundwatch.daemon.statistics.html import render_html
    from soundwatch.daemon.statistics.period import parse_period
    from soundwatch.daemon.statistics.text import render_text

    if day is not None and week is not None:
        raise ConfigError("--day and --week name two periods; give one of them.")
    config, now_s = apply_journal(load_config(config_path), journal), int(time.time())
    named = day if week is None else week
    period = parse_period("day" if week is None else "week", "today" if named is None else named, config.place, now_s)
    if output is not None:
        check_overwrite(output, overwrite, journal_file(config), config_path)
    store = open_for_reading(config.journal)
    statistics = compute_statistics(store, period, now_s, config.stats_s)
    if format_ == "json":
        text = msgspec.json.format(msgspec.json.encode(statistics), indent=2).decode() + "\n"
    else:
        text = render_html(statistics) if format_ == "html" else render_text(statistics)
    if output is None:
        click.echo(text, nl=False)
        return
    write_output(output, lambda path: path.write_text(text, "utf-8"), "--output")
    click.echo(f"Statistics written to {output}.", err=True)
