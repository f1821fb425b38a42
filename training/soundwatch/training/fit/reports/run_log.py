"""Callbacks of a run: figures of each epoch, and results at the end.

Conventions: callbacks run in the main process of a run, after the checkpoint of the epoch is written. `--log` names
them: `tensorboard`, or MODULE:CLASS of a class that takes the folder of the run.
Does not: change the run, or send anything.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Protocol

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.fit.epochs.loop import Row
from soundwatch.training.fit.reports.run_result import RunResult

TENSORBOARD: Final = "tensorboard"


class RunLog(Protocol):
    """Callback of a run."""

    def log_epoch(self, row: Row) -> None:
        """Receive the figures of a finished epoch, named as in `log.csv`; a figure without clips is None."""

    def log_result(self, result: RunResult) -> None:
        """Receive the results of the finished run."""

    def close(self) -> None:
        """End the log, also of a run that fails."""


@contextmanager
def open_logs(names: Sequence[str], folder: Path) -> Iterator[tuple[RunLog, ...]]:
    """Open the callbacks of `--log` and close them at the end.

    Args:
        names: `tensorboard`, or MODULE:CLASS.
        folder: Folder of the run.

    Raises:
        ConfigError: A name has no callback, or a package is not installed.
    """
    with ExitStack() as stack:
        yield tuple(stack.enter_context(closing(_open_log(name, folder))) for name in names)


def _open_log(name: str, folder: Path) -> RunLog:
    """Open the callback of a name."""
    if name == TENSORBOARD:
        from soundwatch.training.fit.reports.tensorboard_log import TensorBoardLog

        return TensorBoardLog(folder)
    wanted = f"{TENSORBOARD} or MODULE:CLASS was expected, e.g. my_log:MyLog"
    if ":" not in name:
        raise ConfigError(f"--log {name} is no known log; {wanted}.")
    try:
        build = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"--log {name} cannot be imported: {error}; {wanted}. Python finds modules in the folders of PYTHONPATH."
        ) from error
    lacking = [method for method in ("log_epoch", "log_result", "close") if not hasattr(build, method)]
    if not callable(build) or lacking:
        raise ConfigError(
            f"--log {name} has no {lacking[0] if lacking else 'constructor'}; {wanted}, with the methods "
            "log_epoch, log_result and close."
        )
    log: RunLog = build(folder)
    return log
