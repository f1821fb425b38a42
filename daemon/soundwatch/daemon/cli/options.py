"""Options that several commands share."""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from soundwatch.daemon.config.config import BACKENDS, Config, ModelConfig
from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.atomic_file import replace_file
from soundwatch.daemon.core.files.paths import is_there
from soundwatch.daemon.core.files.unfinished import remove_unfinished
from soundwatch.daemon.system.job_control import in_foreground

Command = TypeVar("Command", bound=Callable[..., Any])

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 9998
MOST_LINES: Final = 1_000_000_000


class GivenPath(click.Path):
    """Path that is not empty: `Path` takes an empty text, such as the value of an unset variable, for this folder.

    Args:
        path_type: Type of the value: `Path`, or `str` for a path whose home folder is expanded later.
    """

    def __init__(self, path_type: type[Path] | type[str] = Path) -> None:
        super().__init__(path_type=path_type)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert a path."""
        if not str(value):
            self.fail("the path is empty. Give one, or check the variable that it comes from.", param, ctx)
        return super().convert(value, param, ctx)


class OutputPath(GivenPath):
    """Path of a file to write; `-`, which other programs take for standard output, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert a path."""
        if str(value) == "-":
            self.fail("- is no file, and standard output is not written to here. Give the path of a file.", param, ctx)
        return super().convert(value, param, ctx)


config_option = click.option(
    "--config",
    "config_path",
    type=GivenPath(),
    envvar="SOUNDWATCH_CONFIG",
    help="YAML file; every key has a default. Also from SOUNDWATCH_CONFIG.",
)

sink_option = click.option(
    "-F",
    "--sink",
    "sinks",
    multiple=True,
    metavar="SINK",
    help="Output of events: json (standard output), json:PATH, http://HOST:PORT (the page), mqtt://HOST, webhook:URL, "
    "command:PATH, unix:PATH, tcp://HOST:PORT; KEY=VALUE after a comma. May be repeated. [default: json]",
)

journal_option = click.option(
    "--journal",
    metavar="FILE",
    type=GivenPath(str),
    help="Journal file, or memory. [default: the configuration's journal.path]",
)

stored_journal_option = click.option(
    "--journal",
    metavar="FILE",
    type=GivenPath(str),
    help="The journal's file. [default: the configuration's journal.path]",
)

clips_option = click.option(
    "--clips",
    "clips_folder",
    metavar="DIR",
    type=GivenPath(str),
    help="Store the sound of events in this folder. [default: the configuration's clips.folder; without it, no sound "
    "is stored]",
)

stored_clips_option = click.option(
    "--clips",
    "clips_folder",
    metavar="DIR",
    type=GivenPath(str),
    help="Folder of the clips. [default: the configuration's clips.folder]",
)


def apply_clips(config: Config, folder: str | None) -> Config:
    """Return the configuration with the folder of clips from the command line."""
    if folder is None:
        return config
    return msgspec.structs.replace(config, clips=msgspec.structs.replace(config.clips, folder=folder))


def is_interactive_terminal() -> bool:
    """Return True if standard output is a terminal on which a view can be drawn."""
    usable = sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    return usable and in_foreground(sys.stdout.fileno())


def write_output(path: Path, write: Callable[[Path], object], option: str) -> None:
    """Write the output of a command in one step.

    Args:
        path: The file.
        write: Writes the whole content to the path that it is given.
        option: The option that names the file, for the message.

    Raises:
        SinkError: The file cannot be written; its old content is still there.
    """
    try:
        replace_file(path, write)
    except OSError as error:
        raise SinkError(f"{path} cannot be written: {error.strerror or error}. Give another {option}.") from error


overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")


def check_overwrite(path: Path, overwrite: bool, *inputs: Path | None) -> None:
    """Refuse to replace an output without `--overwrite`, and to replace a file that the command reads at all.

    A part of the output that a killed process left is removed.

    Every command that writes one output calls this function before its work.

    Raises:
        ConfigError: The file or folder exists.
    """
    if any(other is not None and is_there(path) and is_there(other) and path.samefile(other) for other in inputs):
        raise ConfigError(f"{path} is read by this command, so nothing is written to it. Name another file.")
    if is_there(path) and not overwrite:
        raise ConfigError(f"{path} exists. Name another place, or add --overwrite to replace it.")
    place = Path(os.path.realpath(path))
    with contextlib.suppress(OSError):  # the folder is missing or closed, which the write reports
        remove_unfinished([place.parent], f".{place.name}.")


def journal_file(config: Config) -> Path:
    """Return the path of the journal; `memory`, which is no file, for a journal in memory."""
    from soundwatch.daemon.journal.location import journal_path

    return Path(journal_path(config.journal))


def wants_text(format_: str) -> bool:
    """Return True if `--format` selects text; auto selects it on a terminal."""
    return format_ == "text" or (format_ == "auto" and sys.stdout.isatty())


def filter_options(command: Command) -> Command:
    """Add `--since`, `--until`, `--class`, `--source` and `--type`."""
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
    """Return the configuration with the journal from the command line."""
    if path is None:
        return config
    return msgspec.structs.replace(config, journal=msgspec.structs.replace(config.journal, path=path))


start_option = click.option(
    "--start",
    default="1970-01-01T00:00:00Z",
    show_default=True,
    metavar="TIME",
    help="Time at which each recording began, RFC 3339 with its zone.",
)


class FiniteRange(click.FloatRange):
    """Range of numbers; NaN, which no comparison excludes, and infinity are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Convert a number in the range."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


def parse_start(text: str) -> int:
    """Parse `--start` to nanoseconds of UTC.

    Raises:
        ConfigError: The text is no time, has no zone, or lies outside the years of lines.
    """
    try:
        moment = datetime.fromisoformat(text.upper())  # RFC 3339 has z and t, too
    except ValueError as error:
        raise ConfigError(f"--start {text} is no time; an example is 2026-11-22T08:15:00Z.") from error
    if moment.tzinfo is None:
        raise ConfigError(f"--start {text} has no zone; add Z for UTC, or an offset such as +02:00.")
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ConfigError(
            f"--start {text} lies outside the years {FIRST_YEAR} to {LAST_YEAR}. Give the recording's time."
        )
    return round(moment.timestamp() * 1_000_000) * 1_000


def model_options(command: Command) -> Command:
    """Add `--model`, `--provider`, `--require-cuda` and `--backend`."""
    for option in (
        click.option("--backend", metavar="BACKEND", help="auto, onnx, torchscript, or a server: triton://HOST:PORT."),
        click.option("--require-cuda", is_flag=True, default=None, help="Fail instead of using the CPU."),
        click.option("--provider", help="auto, cpu, cuda or any provider of ONNX Runtime. [default: auto]"),
        click.option(
            "--model", "model_file", metavar="MODEL", help="urban, urban-int8, tutorial or a file. [default: urban]"
        ),
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
    """Return the configuration with the values of the command line.

    Raises:
        ConfigError: The backend is unknown.
    """
    if backend is not None and not re.fullmatch(BACKENDS, backend):
        raise ConfigError(
            f"--backend {backend} is unknown; use auto, onnx, torchscript or triton://HOST:PORT, a port up to 65535."
        )
    options = {"file": model_file, "provider": provider, "require_cuda": require_cuda, "backend": backend}
    changes = {key: value for key, value in options.items() if value is not None}
    model: ModelConfig = msgspec.structs.replace(config.model, **changes)
    return msgspec.structs.replace(config, model=model, sinks=sinks or config.sinks)
