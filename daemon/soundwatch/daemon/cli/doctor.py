"""`soundwatch doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import msgspec

from soundwatch.daemon.cli.options import config_option
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import ConfigError

FAULTY: Final = 10


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, for programs and bug reports.")
@click.option("--probe/--no-probe", default=True, help="Record three seconds from each microphone. [default: probe]")
@config_option
@click.pass_context
def doctor(context: click.Context, as_json: bool, probe: bool, config_path: Path | None) -> None:
    """Check this machine and the configuration, and suggest repairs.

    Exit codes: 0 without a fault, 10 if a fault keeps soundwatch from detecting or reporting sounds.
    """
    from soundwatch.daemon.app.detached_view import detached_view
    from soundwatch.daemon.capture.source_names import locate_sources
    from soundwatch.daemon.diagnostics.doctor.checks import run_checks
    from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, findings_text

    try:
        config = load_config(config_path)
        config = msgspec.structs.replace(config, sources=locate_sources(config.sources))
        case = CheckInput(config, None, config_path, probe, detached_view)
    except ConfigError as error:
        case = CheckInput(None, error, config_path, probe, detached_view)
    findings = list(run_checks(case, lambda part: click.echo(f"checking: {part}", err=True)))
    click.echo(msgspec.json.format(msgspec.json.encode(findings)) if as_json else findings_text(findings))
    if any(finding.state == "fault" for finding in findings):
        context.exit(FAULTY)
