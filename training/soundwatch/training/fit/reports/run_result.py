"""Results of a run for its callbacks, with the worst mistakes.

Conventions: mistakes are labeled held-out clips, worst first.
Does not: score a clip, or write a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.data.audio.pcm_file import PcmClip
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.cache import ClipCache
from soundwatch.training.fit.scores.metrics import Counts
from soundwatch.training.fit.scores.scoring import RunRecord, ScoredClip

MISTAKES: Final = 10
MISTAKE_S: Final = 30.0  # longest audio of a mistake


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
