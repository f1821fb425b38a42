"""`soundwatch replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundwatch.daemon.cli.options import config_option, model_options, sink_option, start_option, unix_ns, with_options
from soundwatch.daemon.config import load_config


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@start_option
@config_option
@sink_option
@model_options
def replay(files: tuple[Path, ...], start: str, config_path: Path | None, sinks: tuple[str, ...], **model: Any) -> None:
    """Run recordings, or folders of them, through the same engine, faster than real time; two runs print the same."""
    from soundwatch.daemon import app
    from soundwatch.daemon.logs import open_log

    config = with_options(load_config(config_path), sinks=sinks or ("json",), **model)
    app.replay(config, files, unix_ns(start), open_log(config.log))
