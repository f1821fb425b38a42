"""`soundwatch scan`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from soundwatch.daemon.cli.options import config_option, model_options, start_option, unix_ns, with_options
from soundwatch.daemon.config import load_config
from soundwatch.daemon.errors import ConfigError
from soundwatch.daemon.tables import FORMATS, TableFormat, format_of


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="What to write: a file ending in .jsonl, .csv or .parquet, or what --format says.",
)
@click.option(
    "--format",
    "table_format",
    type=click.Choice(FORMATS),
    help="Where the name of --out does not tell. For audacity --out is a folder: one file of labels a recording.",
)
@start_option
@click.option("--workers", type=click.IntRange(min=1), help="Processes, or cores of Ray here.  [default: all cores]")
@click.option(
    "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="What runs workers."
)
@click.option("--address", help="Of a running Ray cluster, or auto.  [default: one of this machine alone]")
@config_option
@model_options
def scan(
    paths: tuple[Path, ...],
    out: Path,
    table_format: TableFormat | None,
    start: str,
    workers: int | None,
    engine: str,
    address: str | None,
    config_path: Path | None,
    **model: Any,
) -> None:
    """Classify archives: every recording under PATHS, with as many processes or machines as there are.

    The same command goes on where one was stopped or killed.
    """
    from soundwatch.daemon.logs import open_log
    from soundwatch.daemon.scan import program

    if address is not None and engine != "ray":
        raise ConfigError(f"--address {address} is Ray's; add --engine ray, or leave it out.")
    config = with_options(load_config(config_path), **model)
    chosen = format_of(out, table_format)
    cores = workers or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    employer = program.employ(engine, address, cores)
    program.scan(config, paths, out, chosen, unix_ns(start), employer, open_log(config.log))
