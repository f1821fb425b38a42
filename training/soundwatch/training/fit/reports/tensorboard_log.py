"""TensorBoard log of a run: scalars of each epoch, the confusion matrix, and audio of the worst mistakes.

Conventions: the event file is in the folder of the run, so `tensorboard --logdir runs` names each run by its folder.
Writing needs no network and no process of TensorBoard.
Does not: start TensorBoard's server.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.process.extras import install_command
from soundwatch.training.fit.epochs.loop import Row
from soundwatch.training.fit.reports.plots import confusion_figure
from soundwatch.training.fit.reports.run_result import RunResult

TAGS: Final = {
    "train_loss": "loss/train",
    "test_loss": "loss/held_out",
    "train_accuracy": "accuracy/train",
    "accuracy": "accuracy/held_out",
    "macro_f1": "macro_f1/held_out",
    "learning_rate": "learning_rate",
}
RECALL: Final = "recall_"


class TensorBoardLog:
    """Callback that writes TensorBoard's event file.

    Args:
        folder: Folder of the run; the file is created in it with the first epoch.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._library = importlib.import_module("torch.utils.tensorboard")
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"--log tensorboard needs the Python package {error.name}, which is not installed. Install it with "
                f"{install_command('tensorboard')}."
            ) from error
        self._folder = folder
        self._writer: Any = None

    def log_epoch(self, row: Row) -> None:
        """Write the scalars of an epoch.

        Raises:
            SinkError: The file cannot be written.
        """
        with self._writing() as writer:
            for name, value in row.items():
                tag = f"recall/{_tag(name.removeprefix(RECALL))}" if name.startswith(RECALL) else TAGS.get(name)
                if tag and value is not None:
                    writer.add_scalar(tag, value, int(row["epoch"] or 0))
            writer.flush()

    def log_result(self, result: RunResult) -> None:
        """Write the confusion matrix, and each mistake as audio with a line of text.

        Raises:
            SinkError: The file cannot be written.
        """
        epoch = result.record.epochs
        with self._writing() as writer:
            if result.confusion is not None:
                figure = confusion_figure(result.confusion, result.labels, result.record.recipe)
                writer.add_figure("confusion/held_out", figure, epoch, close=True)
            for place, mistake in enumerate(result.mistakes, 1):
                tag = f"mistakes/{place:02}_{_tag(mistake.label)}_as_{_tag(mistake.predicted)}"
                # TensorBoard's audio is mono.
                mono = np.clip(mistake.samples.mean(axis=0), -1, 1)
                writer.add_audio(tag, mono, epoch, sample_rate=result.rate_hz)
                line = f"`{mistake.clip}`: {mistake.label} {mistake.score:.3f}, "
                writer.add_text(tag, line + f"{mistake.predicted} {mistake.predicted_score:.3f}", epoch)
            writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        """Open the file where necessary, and convert write errors into a `SinkError` with the folder."""
        try:
            if self._writer is None:
                self._writer = self._library.SummaryWriter(str(self._folder))
            yield self._writer
        except OSError as error:
            raise SinkError(
                f"TensorBoard's event file cannot be written to {self._folder}: {error}. Free space there, or leave "
                "out --log tensorboard; the checkpoint is intact, and --resume continues from it."
            ) from error


def _tag(name: str) -> str:
    """Return a name without the characters that TensorBoard replaces."""
    return re.sub(r"[^\w.-]+", "_", name)
