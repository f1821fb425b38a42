"""The command line: `soundwatch COMMAND`.

Conventions: standard output carries results, standard error the log. A command's module is imported when the command
is called, so `--help` is fast. Commands of training and export are named as text; the runtime does not import them.
Never: contain logic that another program could want.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from typing import Final

import click

from soundwatch.daemon import __version__
from soundwatch.daemon.core.errors import ConfigError, ModelError, SinkError, SoundwatchError
from soundwatch.daemon.core.extras import EXTRAS, install_command
from soundwatch.daemon.system import journald
from soundwatch.daemon.system.container_init import run_as_init
from soundwatch.daemon.system.log_output import try_write_stderr
from soundwatch.daemon.system.standard_streams import standard_streams

COMMANDS: Final = {
    "run": ("soundwatch.daemon.cli.run:run", "Listen, and print what is heard as JSON events."),
    "tail": ("soundwatch.daemon.cli.tail:tail", "Print what was heard, and go on with what is."),
    "export-events": (
        "soundwatch.daemon.cli.export_events:export_events",
        "Write what was heard to a file: JSON lines, CSV, Parquet, Audacity, Raven.",
    ),
    "fleet": ("soundwatch.daemon.cli.fleet:fleet", "Collect and show the lines of many machines."),
    "devices": ("soundwatch.daemon.cli.devices:devices", "List the microphones and how to name them."),
    "replay": ("soundwatch.daemon.cli.replay:replay", "Run recordings through the same engine, faster than real time."),
    "scan": ("soundwatch.daemon.cli.scan:scan", "Classify archives with all cores, or on a Ray cluster; resumable."),
    "classify": ("soundwatch.daemon.cli.classify:classify", "Score whole recordings, one line a file."),
    "doctor": ("soundwatch.daemon.cli.doctor:doctor", "Say what is missing or wrong on this machine, and what to do."),
    "calibrate": ("soundwatch.daemon.cli.calibrate:calibrate", "Set thresholds from a place's own background."),
    "check-config": (
        "soundwatch.daemon.cli.check_config:check_config",
        "Check a configuration and show what is in force.",
    ),
    "bench": ("soundwatch.daemon.cli.bench:bench", "Measure how many streams this machine can carry."),
    "privacy": ("soundwatch.daemon.cli.privacy:privacy", "Say what is kept and where it goes."),
    "label": ("soundwatch.daemon.cli.label:label", "Say what an event really was."),
    "teach": ("soundwatch.daemon.cli.teach:teach", "Make a folder to train on of clips that have been labelled."),
    "shadow": ("soundwatch.daemon.cli.shadow:shadow", "Hold a second model against the first; promote it, roll back."),
    "schema": ("soundwatch.daemon.cli.check_config:schema", "Print the JSON Schema of the events."),
    "service": ("soundwatch.daemon.cli.service:service", "Run as a service of systemd: install, status, uninstall."),
    "data": ("soundwatch.training.cli.data:data", "Check a data set before training, or download one."),
    "train": ("soundwatch.training.cli.train:train", "Train a network on UrbanSound8K, or on sounds of your own."),
    "crossval": ("soundwatch.training.cli.crossval:crossval", "Leave one fold out, for every fold present."),
    "evaluate": ("soundwatch.training.cli.evaluate:evaluate", "Score a model file through the daemon's own path."),
    "export": ("soundwatch.export.cli:export", "Turn a checkpoint into model files that are proven alike."),
    "thresholds": (
        "soundwatch.export.thresholds_command:thresholds",
        "Choose a model's thresholds by false events an hour.",
    ),
    "verify": ("soundwatch.export.cli:verify", "Prove a model file again."),
}

_OUTPUT_ERRORS: Final = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
_TRAINING_PACKAGES: Final = {"torch", "torchaudio", "onnx", "onnxscript", "matplotlib"}


class _Lazy(click.Group):
    """A group that knows its commands' names and texts, and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of `COMMANDS`."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command that is called.

        Raises:
            ModelError: It needs a package of the training extra.
        """
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in _TRAINING_PACKAGES:
                raise
            raise ModelError(
                f"`soundwatch {cmd_name}` needs the Python package {error.name}, which is not installed. "
                f"Install it with {install_command('training')}."
            ) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help's list of commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="soundwatch")
def soundwatch() -> None:
    """Say what a microphone hears: city sounds as JSON events, on this machine alone.

    Exit codes: 0 done, or stopped by a signal; 1 a bug; 2 usage or configuration; 3 model; 4 microphone
    or recording; 5 accelerator; 6 output; 7 training data; 8 verification; 9 journal; 10 a finding of `doctor`;
    11 service; 12 `privacy audit` found that something leaves the house, or is not explained.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit with the documented code; our own errors become one sentence."""
    run_as_init()
    with standard_streams():
        sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    """Run a command and return its exit code."""
    # numpy's BLAS reads this when it is first imported. Its threads would wait for each other's small products by
    # spinning: three times the processor time, on all cores, for nothing.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code: int = soundwatch.main(args=arguments, standalone_mode=False) or 0
        sys.stdout.flush()
    except SoundwatchError as error:
        return _fail(error)
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        try_write_stderr(text.getvalue().encode())
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
    except OSError as error:
        if error.errno not in _OUTPUT_ERRORS or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter fails again at exit
        return _fail(SinkError(f"Standard output cannot be written: {error.strerror}. Not all was printed."))
    return code


def _fail(error: SoundwatchError) -> int:
    try_write_stderr(f"{journald.priority_prefix('error')}soundwatch: {error}\n".encode("utf-8", "backslashreplace"))
    return error.exit_code
