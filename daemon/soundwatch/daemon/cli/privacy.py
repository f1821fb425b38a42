"""`soundwatch privacy audit`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from soundwatch.daemon.cli.options import (
    apply_clips,
    apply_journal,
    clips_option,
    config_option,
    journal_option,
    sink_option,
)
from soundwatch.daemon.core.config import load_config

LEAVES_HOUSE = 12


@click.group()
def privacy() -> None:
    """Say what is kept and where it goes."""


@privacy.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@config_option
@sink_option
@journal_option
@clips_option
@click.option(
    "--watch",
    "watch_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Look at the running program's sockets and open files for so long instead (Linux).",
)
@click.option("--process", type=click.IntRange(min=1), help="Number of the program to watch. [default: the journal's]")
@click.pass_context
def audit(
    context: click.Context,
    as_json: bool,
    config_path: Path | None,
    sinks: tuple[str, ...],
    journal: str | None,
    clips_folder: str | None,
    watch_s: float | None,
    process: int | None,
) -> None:
    """Show what `soundwatch run` with the same options keeps and sends; nothing is started, and nothing connected to.

    Exit code 12 if anything leaves the house, or may; else 0. With --watch: 12 if the running program has anything open
    that the configuration does not explain, else 0, wherever the configuration sends events; 11 if no program runs.
    """
    from soundwatch.daemon.diagnostics import activity_watch
    from soundwatch.daemon.diagnostics import privacy_audit as looking

    config = apply_clips(apply_journal(load_config(config_path), journal), clips_folder)
    config = msgspec.structs.replace(config, sinks=sinks or config.sinks)
    if watch_s is not None:
        report = activity_watch.watch(config, process or activity_watch.find_daemon(config), watch_s)
        click.echo(msgspec.json.encode(report).decode() if as_json else "\n".join(activity_watch.report_text(report)))
        context.exit(LEAVES_HOUSE if report.unexplained else 0)
    found = looking.audit(config)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        click.echo("\n".join(looking.audit_text(found)))
    if found.leaves_house:
        context.exit(LEAVES_HOUSE)
