"""`soundwatch replay`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from soundwatch.daemon.cli.options import config_option, model_options, sink_option, with_options
from soundwatch.daemon.config import load_config
from soundwatch.daemon.errors import ConfigError


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--start",
    default="1970-01-01T00:00:00Z",
    show_default=True,
    metavar="TIME",
    help="When each recording began, RFC 3339 with its zone.",
)
@config_option
@sink_option
@model_options
def replay(files: tuple[Path, ...], start: str, config_path: Path | None, sinks: tuple[str, ...], **model: Any) -> None:
    """Run recordings, or folders of them, through the same engine, faster than real time; two runs print the same."""
    from soundwatch.daemon import app
    from soundwatch.daemon.logs import open_log

    config = with_options(load_config(config_path), sinks=sinks or ("json",), **model)
    app.replay(config, files, _unix_ns(start), open_log(config.log))


def _unix_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--start {text} is no time; one like 2026-11-22T08:15:00Z was wanted.") from error
    if moment.tzinfo is None:
        raise ConfigError(f"--start {text} has no zone; add Z for UTC, or an offset such as +02:00.")
    return round(moment.timestamp() * 1_000_000) * 1_000
