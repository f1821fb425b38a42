"""`soundwatch replay`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from soundwatch.daemon.cli.options import (
    GivenPath,
    apply_options,
    config_option,
    model_options,
    parse_start,
    sink_option,
    start_option,
)
from soundwatch.daemon.config.file import load_config


@click.command()
@click.argument("files", nargs=-1, required=True, type=GivenPath())
@start_option
@config_option
@sink_option
@model_options
def replay(files: tuple[Path, ...], start: str, config_path: Path | None, sinks: tuple[str, ...], **model: Any) -> None:
    """Detect sounds in recordings, or in folders of them, faster than real time. Two runs print equal lines.

    `sample` is a recording that comes with soundwatch.
    """
    from soundwatch.daemon.app.replay import replay as replay_files
    from soundwatch.daemon.capture.demo.sample import recording_path
    from soundwatch.daemon.capture.recordings.containers.search import search_bars
    from soundwatch.daemon.system.log_output import open_logger

    config = apply_options(load_config(config_path), sinks=sinks or ("json",), **model)
    bars = contextlib.nullcontext() if "terminal" in config.sinks else search_bars()
    with open_logger(config.log) as log, bars:
        replay_files(config, tuple(recording_path(path) for path in files), parse_start(start), log)
