"""`soundwatch scan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from soundwatch.daemon.cli.options import (
    GivenPath,
    OutputPath,
    apply_options,
    check_overwrite,
    config_option,
    model_options,
    overwrite_option,
    parse_start,
    start_option,
)
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.files.paths import is_there
from soundwatch.daemon.tables.writers import FORMATS, TableFormat, resolve_format

MAX_WORKERS: Final = 1024


@click.command()
@click.argument("paths", nargs=-1, required=True, type=GivenPath())
@click.option(
    "--out",
    type=OutputPath(),
    required=True,
    help="Output: a file ending in .jsonl, .csv or .parquet, or in the format of --format.",
)
@click.option(
    "--format",
    "table_format",
    type=click.Choice(FORMATS),
    help="Format, if the name of --out does not give it. For audacity, --out is a folder with a label file for each "
    "recording.",
)
@overwrite_option
@start_option
@click.option(
    "--workers", type=click.IntRange(1, MAX_WORKERS), help="Processes, or cores of Ray here.  [default: all cores]"
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Place of the workers: this machine, or a Ray cluster.",
)
@click.option("--address", help="Address of a running Ray cluster, or auto.  [default: this machine]")
@config_option
@model_options
def scan(
    paths: tuple[Path, ...],
    out: Path,
    table_format: TableFormat | None,
    overwrite: bool,
    start: str,
    workers: int | None,
    engine: str,
    address: str | None,
    config_path: Path | None,
    **model: Any,
) -> None:
    """Scan archives: detect events in every recording under PATHS, with all cores or a Ray cluster.

    Run the command again to resume a scan that was stopped or killed.
    """
    from soundwatch.daemon.app.scan import cache_path, run_scan, select_workers
    from soundwatch.daemon.system.cores import usable_cores
    from soundwatch.daemon.system.log_output import open_logger

    if address is not None and engine != "ray":
        raise ConfigError(f"--address {address} needs --engine ray; add it, or omit --address.")
    config = apply_options(load_config(config_path), **model)
    chosen = resolve_format(out, table_format)
    check_overwrite(out, overwrite or is_there(cache_path(out)), config_path)  # a scan to resume wrote it
    start_workers = select_workers(engine, address, workers or usable_cores())
    with open_logger(config.log) as log:
        run_scan(config, paths, out, chosen, parse_start(start), start_workers, log)
