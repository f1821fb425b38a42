"""The command line: `soundwatch COMMAND`.

Conventions: standard output carries results, standard error the log. A command's module is imported when the command
is called, so `--help` is fast. Commands of training and export are named as text; the runtime does not import them.
Never: contain logic that other modules need.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

import click

from soundwatch.daemon import __version__
from soundwatch.daemon.core.errors import (
    ConfigError,
    ModelError,
    ReaderClosedError,
    SinkError,
    SoundwatchError,
    exhausted,
)
from soundwatch.daemon.core.process.extras import EXTRAS, install_command
from soundwatch.daemon.core.process.stop_request import StoppedError
from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.core.text.printable import printable_lines
from soundwatch.daemon.core.time.system_zone import check_system_zone
from soundwatch.daemon.system import journald
from soundwatch.daemon.system.container_init import run_as_init
from soundwatch.daemon.system.log_output import command_log, try_write_stderr
from soundwatch.daemon.system.signals import hangups_kept
from soundwatch.daemon.system.standard_streams import standard_streams

COMMANDS: Final = {
    "run": ("soundwatch.daemon.cli.run:run", "Detect sounds and print events as JSON lines."),
    "tail": ("soundwatch.daemon.cli.tail:tail", "Print events of the journal, and follow new ones."),
    "export-events": (
        "soundwatch.daemon.cli.export_events:export_events",
        "Write events of the journal to a file: JSON lines, CSV, Parquet, Audacity, Raven.",
    ),
    "digest": ("soundwatch.daemon.cli.digest:digest", "Print the statistics of a day or a week."),
    "fleet": ("soundwatch.daemon.cli.fleet:fleet", "Collect and show the lines of many machines."),
    "devices": ("soundwatch.daemon.cli.devices:devices", "List the microphones and how to name them."),
    "replay": ("soundwatch.daemon.cli.replay:replay", "Detect sounds in recordings, faster than real time."),
    "scan": (
        "soundwatch.daemon.cli.scan:scan",
        "Detect sounds in archives with all cores, or on a Ray cluster; resumable.",
    ),
    "classify": ("soundwatch.daemon.cli.classify:classify", "Score whole recordings, one line for each file."),
    "doctor": ("soundwatch.daemon.cli.doctor:doctor", "Check this machine and the configuration, and suggest repairs."),
    "calibrate": ("soundwatch.daemon.cli.calibrate:calibrate", "Set thresholds from a place's own background."),
    "calibrate-level": (
        "soundwatch.daemon.cli.calibrate_level:calibrate_level",
        "Calibrate the sound level of a microphone by a calibrator's tone.",
    ),
    "check-config": (
        "soundwatch.daemon.cli.check_config:check_config",
        "Check a configuration and show all its values.",
    ),
    "bench": ("soundwatch.daemon.cli.bench:bench", "Measure how many streams this machine can carry."),
    "rules": ("soundwatch.daemon.cli.rules:rules", "Try alert rules on the journal, and explain what they send."),
    "privacy": ("soundwatch.daemon.cli.privacy:privacy", "Show which data is stored and where it is sent."),
    "label": ("soundwatch.daemon.cli.label:label", "Correct or confirm the class of an event."),
    "teach": ("soundwatch.daemon.cli.teach:teach", "Export labeled clips as a training data set."),
    "clips": ("soundwatch.daemon.cli.clips:clips", "Draw the spectrograms of stored clips."),
    "shadow": (
        "soundwatch.daemon.cli.shadow:shadow",
        "Compare a second model with the active one; promote it, roll back.",
    ),
    "schema": ("soundwatch.daemon.cli.check_config:schema", "Print the JSON Schema of the events."),
    "backup": ("soundwatch.daemon.cli.backup:backup", "Save configuration, journal and labels as one archive."),
    "restore": ("soundwatch.daemon.cli.backup:restore", "Restore a backup."),
    "service": ("soundwatch.daemon.cli.service:service", "Run as a systemd service: install, status, uninstall."),
    "data": ("soundwatch.training.cli.data:data", "Check a data set before training, or download one."),
    "train": ("soundwatch.training.cli.train:train", "Train a network on UrbanSound8K, or on your own sounds."),
    "crossval": ("soundwatch.training.cli.crossval:crossval", "Cross-validate a recipe over the folds."),
    "average": ("soundwatch.training.cli.average:average", "Average the weights of finished training runs."),
    "evaluate": ("soundwatch.training.cli.evaluate:evaluate", "Evaluate a model file with the daemon's signal path."),
    "export": ("soundwatch.export.cli:export", "Export a checkpoint as model files with checked parity."),
    "thresholds": (
        "soundwatch.export.thresholds_command:thresholds",
        "Choose a model's thresholds by false events an hour.",
    ),
    "verify": ("soundwatch.export.cli:verify", "Check a model file's parity again."),
}

_OUTPUT_ERRORS: Final = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
_TRAINING_MODULES: Final = ("soundwatch.training.", "soundwatch.export.")
_TRAINING_PACKAGES: Final = {"torch", "torchaudio", "onnx", "onnxscript", "matplotlib"}


@contextlib.contextmanager
def _output_failures() -> Iterator[None]:
    """Raise an error of soundwatch in place of the system's about standard output; click ends with code 1 at some.

    Raises:
        ReaderClosedError: The reader of standard output has gone.
        SinkError: Standard output cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _OUTPUT_ERRORS or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise the interpreter fails at exit
        failure = ReaderClosedError if error.errno == errno.EPIPE else SinkError
        raise failure(f"Standard output cannot be written: {error.strerror}. The output is incomplete.") from error


def _check_current_folder() -> None:
    """Refuse a current folder that is not there: paths lead nowhere, and worker processes and torch fail.

    Raises:
        ConfigError: The folder has been removed.
    """
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError as error:
        raise ConfigError(
            "The current folder has been removed. Change to one that is there; `cd` to its path enters one that was "
            "made again."
        ) from error


class _Lazy(click.Group):
    """A group that imports only the command that is called."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the command line, and print the help if that is requested."""
        with _output_failures():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _output_failures():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of `COMMANDS`."""
        del ctx
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command to call; `run` keeps a SIGHUP from here on, since its imports take seconds."""
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"No such command {args[0]!r}. {did_you_mean(args[0], COMMANDS)}`soundwatch --help` lists all.")
        check_system_zone(used=False)
        _check_current_folder()
        if args[0] == "run":
            ctx.with_resource(hangups_kept())
        if COMMANDS.get(args[0], ("",))[0].startswith(_TRAINING_MODULES):
            os.environ["MPLBACKEND"] = "agg"  # pictures are files; matplotlib does not import with an unknown name
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command that is called; None while a shell completes a command that cannot be imported.

        Raises:
            ModelError: The command needs a package of the training extra.
        """
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in _TRAINING_PACKAGES:
                raise
            if ctx.resilient_parsing:
                return None
            raise ModelError(
                f"`soundwatch {cmd_name}` needs the Python package {error.name}, which is not installed. "
                f"Install it with {install_command('training')}."
            ) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands in the help text without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="soundwatch")
def soundwatch() -> None:
    """Detect urban sounds and report them as JSON events; all processing stays on this machine.

    Exit codes: 0 done, or stopped by a signal; 1 a bug; 2 usage or configuration; 3 model; 4 microphone
    or recording; 5 accelerator; 6 output; 7 training data; 8 verification; 9 journal; 10 a finding of `doctor`;
    11 service; 12 `privacy audit` found that data may leave the local network, or an unexplained connection;
    13 no more memory, threads or open files.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit with the documented code; soundwatch's own errors become one message."""
    run_as_init()
    with standard_streams(), command_log():
        sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    """Run a command and return its exit code."""
    try:
        with _output_failures():
            code: int = soundwatch.main(args=arguments, standalone_mode=False) or 0
            sys.stdout.flush()
    except StoppedError:
        return 0
    except ReaderClosedError as error:
        return error.exit_code  # without a message, as other programs before `head`
    except SoundwatchError as error:
        return _fail(error, exhausted(error))
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        try_write_stderr(printable_lines(text.getvalue()).encode())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 0
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        return _fail(
            ConfigError(
                f"This command needs the Python package {package}, which is not installed. Install it with "
                f"{install_command(EXTRAS[package])}."
            )
        )
    except (MemoryError, RuntimeError, SystemError, OSError) as error:
        return _fail_exhausted(error)
    return code


def _fail_exhausted(error: Exception) -> int:
    """Report that a limit of the system was reached; any other error is a bug and is raised again."""
    failure = exhausted(error)
    if failure is None:
        raise error
    error.__traceback__ = None  # its frames hold what the program has allocated
    return _fail(failure)


def _fail(error: SoundwatchError, cause: SoundwatchError | None = None) -> int:
    """Report an error, and the shortage that caused it, which has the exit code then."""
    reason = str(error) if cause is None or cause is error else f"{error} {cause}"
    text = printable_lines(f"soundwatch: {reason}")
    try_write_stderr(f"{journald.priority_prefix('error')}{text}\n".encode())
    return (cause or error).exit_code
