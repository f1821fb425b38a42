"""`soundwatch doctor`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from soundwatch.daemon.cli.options import config_option
from soundwatch.daemon.core.config import load_config
from soundwatch.daemon.core.errors import ConfigError

FAULTY = 10


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON array for programs and bug reports.")
@click.option("--probe/--no-probe", default=True, help="Listen to each microphone for three seconds. [default: probe]")
@config_option
@click.pass_context
def doctor(context: click.Context, as_json: bool, probe: bool, config_path: Path | None) -> None:
    """Look at everything that soundwatch needs, and say what to do where something is missing.

    Exit codes: 0 where nothing keeps it from hearing and telling, 10 where something does.
    """
    from soundwatch.daemon.diagnostics.checks import run_checks
    from soundwatch.daemon.diagnostics.finding import CheckInput, findings_text

    try:
        case = CheckInput(load_config(config_path), None, config_path, probe)
    except ConfigError as error:
        case = CheckInput(None, error, config_path, probe)
    findings = list(run_checks(case, lambda part: click.echo(f"looking at: {part}", err=True)))
    click.echo(msgspec.json.format(msgspec.json.encode(findings)) if as_json else findings_text(findings))
    if any(finding.state == "fault" for finding in findings):
        context.exit(FAULTY)
