"""`soundwatch scan`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from soundwatch.daemon.cli.options import apply_options, config_option, model_options, parse_start, start_option
from soundwatch.daemon.core.config import load_config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.tables.writers import FORMATS, TableFormat, resolve_format


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
    from soundwatch.daemon.scan import run
    from soundwatch.daemon.system.log_output import open_logger

    if address is not None and engine != "ray":
        raise ConfigError(f"--address {address} is Ray's; add --engine ray, or leave it out.")
    config = apply_options(load_config(config_path), **model)
    chosen = resolve_format(out, table_format)
    cores = workers or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    employer = run.select_workers(engine, address, cores)
    with open_logger(config.log) as log:
        run.run_scan(config, paths, out, chosen, parse_start(start), employer, log)
