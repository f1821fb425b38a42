"""Callbacks of a run: figures of each epoch, and results with the worst mistakes at the end.

Conventions: callbacks run in the main process of a run, after the checkpoint of the epoch is written. `--log` names
them: `tensorboard`, or MODULE:CLASS of a class that takes the folder of the run.
Does not: change the run, or send anything.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.types import Samples
from soundwatch.training.data.cache import ClipCache
from soundwatch.training.data.pcm_file import PcmClip
from soundwatch.training.data.urbansound8k import Clip
from soundwatch.training.fit.loop import Row
from soundwatch.training.fit.metrics import Counts
from soundwatch.training.fit.scoring import RunRecord, ScoredClip

MISTAKES: Final = 10
MISTAKE_S: Final = 30.0  # longest audio of a mistake
TENSORBOARD: Final = "tensorboard"


@dataclass(frozen=True, slots=True)
class Mistake:
    """Held-out clip whose highest score is that of a wrong class.

    Attributes:
        clip: File name.
        label: True class.
        predicted: Class with the highest score.
        score: Score of the true class.
        predicted_score: Score of the predicted class.
        samples: Start of the clip (C, S), in full scales.
    """

    clip: str
    label: str
    predicted: str
    score: float
    predicted_score: float
    samples: Samples


@dataclass(frozen=True, slots=True)
class RunResult:
    """Results of a finished run.

    Attributes:
        record: Record of the run, as in `run.json`.
        labels: Names of the K classes.
        rate_hz: Sample rate of the mistakes.
        confusion: Confusion matrix (K, K) of the held-out clips; None without labeled held-out clips.
        mistakes: Worst mistakes first, at most ten.
    """

    record: RunRecord
    labels: tuple[str, ...]
    rate_hz: int
    confusion: Counts | None
    mistakes: tuple[Mistake, ...]


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
        from soundwatch.training.fit.tensorboard_log import TensorBoardLog

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


def find_mistakes(
    clips: Sequence[Clip], scored: Sequence[ScoredClip], labels: Sequence[str], read: ClipCache
) -> tuple[Mistake, ...]:
    """Return the labeled clips whose predicted class exceeds the true one by most, with their audio.

    Args:
        clips: Labeled held-out clips.
        scored: Their scores, in equal order.
        labels: Names of the classes.
        read: Cache of decoded clips.

    Raises:
        DataError: A recording cannot be used any more.
    """
    wrong = list[tuple[float, Clip, ScoredClip, int, int]]()
    for clip, scores in zip(clips, scored, strict=True):
        predicted = int(np.argmax(scores.values))
        if clip.class_id is not None and predicted != clip.class_id:
            excess = scores.values[predicted] - scores.values[clip.class_id]
            wrong.append((excess, clip, scores, clip.class_id, predicted))
    worst = sorted(wrong, key=lambda item: (-item[0], item[1].name))[:MISTAKES]
    return tuple(
        Mistake(
            clip=clip.name,
            label=labels[true],
            predicted=labels[predicted],
            score=scores.values[true],
            predicted_score=scores.values[predicted],
            samples=_read_start(read, clip),
        )
        for _, clip, scores, true, predicted in worst
    )


def _read_start(read: ClipCache, clip: Clip) -> Samples:
    """Read at most the first 30 s of a clip."""
    stored = read.stored(clip)
    return PcmClip(stored.samples[:, : int(MISTAKE_S * read.spec.rate_hz)], stored.scale).to_float()
