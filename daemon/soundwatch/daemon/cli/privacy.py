"""`soundwatch privacy audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import msgspec

from soundwatch.daemon.cli.options import (
    FiniteRange,
    apply_clips,
    apply_journal,
    clips_option,
    config_option,
    journal_option,
    sink_option,
)
from soundwatch.daemon.config.file import load_config

LEAVES_LOCAL_NETWORK: Final = 12


@click.group()
def privacy() -> None:
    """Show which data is stored and where it is sent."""


@privacy.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@config_option
@sink_option
@journal_option
@clips_option
@click.option(
    "--watch",
    "watch_s",
    type=FiniteRange(0, 31_536_000, min_open=True),
    metavar="SECONDS",
    help="Instead, check the running program's sockets and open files for this time (Linux).",
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
    """Show what `soundwatch run` with these options stores and sends. Starts no source and opens no connection.

    Exit code 12 if data leaves the local network or may leave it, otherwise 0. With --watch: 12 if the running program
    has an open socket or file that the configuration does not explain, otherwise 0; 11 if no program runs.
    """
    from soundwatch.daemon.diagnostics.privacy import activity_watch
    from soundwatch.daemon.diagnostics.privacy import audit as privacy_audit
    from soundwatch.daemon.diagnostics.privacy.text import audit_text

    config = apply_clips(apply_journal(load_config(config_path), journal), clips_folder)
    config = msgspec.structs.replace(config, sinks=sinks or config.sinks)
    if watch_s is not None:
        report = activity_watch.watch(config, process or activity_watch.find_daemon(config), watch_s)
        click.echo(msgspec.json.encode(report).decode() if as_json else "\n".join(activity_watch.report_text(report)))
        context.exit(LEAVES_LOCAL_NETWORK if report.unexplained else 0)
    result = privacy_audit.audit(config)
    if as_json:
        click.echo(msgspec.json.encode(result).decode())
    else:
        click.echo("\n".join(audit_text(result)))
    if result.leaves_house:
        context.exit(LEAVES_LOCAL_NETWORK)
