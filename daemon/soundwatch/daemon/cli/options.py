"""Options that several commands share."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from soundwatch.daemon.core.config import BACKENDS, Config, ModelConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.system.job_control import in_foreground

Command = TypeVar("Command", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    envvar="SOUNDWATCH_CONFIG",
    help="YAML file; every key has a default. Also from SOUNDWATCH_CONFIG.",
)

sink_option = click.option(
    "-F",
    "--sink",
    "sinks",
    multiple=True,
    metavar="SINK",
    help="Where events go: json (standard output), json:PATH, http://HOST:PORT (the page), mqtt://HOST, webhook:URL, "
    "command:PATH, unix:PATH, tcp://HOST:PORT; KEY=VALUE after a comma. May be repeated. [default: json]",
)

journal_option = click.option(
    "--journal", metavar="FILE", help="Where events are kept, or memory. [default: the configuration's journal.path]"
)

clips_option = click.option(
    "--clips", "clips_folder", metavar="DIR", help="Keep events' sound in this folder. [default: no sound is kept]"
)


def apply_clips(config: Config, folder: str | None) -> Config:
    """The configuration with the clips' folder that the command line names."""
    if folder is None:
        return config
    return msgspec.structs.replace(config, clips=msgspec.structs.replace(config.clips, folder=folder))


def is_interactive_terminal() -> bool:
    """Whether standard output is a terminal that a picture can be drawn on."""
    usable = sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    return usable and in_foreground(sys.stdout.fileno())


def wants_text(format_: str) -> bool:
    """Whether `--format`, which may be auto, comes to text here."""
    return format_ == "text" or (format_ == "auto" and sys.stdout.isatty())


def filter_options(command: Command) -> Command:
    """`--since`, `--until`, `--class`, `--source` and `--type`."""
    for option in (
        click.option("--type", "types", multiple=True, metavar="TYPE", help="Only lines of this type: start, end ..."),
        click.option("--source", "sources", multiple=True, metavar="NAME", help="Only this source."),
        click.option("--class", "classes", multiple=True, metavar="CLASS", help="Only events of this class."),
        click.option("--until", metavar="WHEN", help="Up to a time or an age, as for --since."),
        click.option("--since", metavar="WHEN", help="From a time (2026-11-22T08:15:00Z), an age (2h), or line #SEQ."),
    ):
        command = option(command)
    return command


def apply_journal(config: Config, path: str | None) -> Config:
    """The configuration with the journal that the command line names."""
    if path is None:
        return config
    return msgspec.structs.replace(config, journal=msgspec.structs.replace(config.journal, path=path))


start_option = click.option(
    "--start",
    default="1970-01-01T00:00:00Z",
    show_default=True,
    metavar="TIME",
    help="When each recording began, RFC 3339 with its zone.",
)


def parse_start(text: str) -> int:
    """What `--start` says, in nanoseconds of UTC.

    Raises:
        ConfigError: It is no time, or has no zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--start {text} is no time; one like 2026-11-22T08:15:00Z was wanted.") from error
    if moment.tzinfo is None:
        raise ConfigError(f"--start {text} has no zone; add Z for UTC, or an offset such as +02:00.")
    return round(moment.timestamp() * 1_000_000) * 1_000


def model_options(command: Command) -> Command:
    """`--model`, `--provider`, `--require-cuda` and `--backend`."""
    for option in (
        click.option("--backend", metavar="BACKEND", help="auto, onnx, torchscript, or a server: triton://HOST:PORT."),
        click.option("--require-cuda", is_flag=True, default=None, help="Fail rather than run on the processor."),
        click.option("--provider", help="auto, cpu, cuda or any provider that ONNX Runtime has. [default: auto]"),
        click.option("--model", "model_file", metavar="MODEL", help="urban, tutorial or a file. [default: urban]"),
    ):
        command = option(command)
    return command


def apply_options(
    config: Config,
    model_file: str | None,
    provider: str | None,
    require_cuda: bool | None,
    backend: str | None,
    sinks: tuple[str, ...] = (),
) -> Config:
    """The configuration with what the command line says otherwise."""
    if backend is not None and not re.match(BACKENDS, backend):
        raise ConfigError(
            f"--backend {backend} is none that is known; auto, onnx, torchscript or triton://HOST:PORT was wanted."
        )
    said = {"file": model_file, "provider": provider, "require_cuda": require_cuda, "backend": backend}
    changes = {key: value for key, value in said.items() if value is not None}
    model: ModelConfig = msgspec.structs.replace(config.model, **changes)
    return msgspec.structs.replace(config, model=model, sinks=sinks or config.sinks)
