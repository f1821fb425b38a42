"""Scores of a finished network on its held-out clips, and the files that a run ends with.

Conventions: scores are (N, K) in [0, 1], the labeled clips before the negatives.
Does not: compute scores of batches (`fit/scores/scoring.py`), or train.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from torch import nn

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.files.atomic_file import replace_bytes
from soundwatch.daemon.core.model.contract import EvaluationScore
from soundwatch.training.data.windows.cache import ClipCache
from soundwatch.training.fit.epochs.loop import mel_batches
from soundwatch.training.fit.reports.plots import draw_confusion
from soundwatch.training.fit.scores.metrics import Counts, count_confusion, measure
from soundwatch.training.fit.scores.scoring import FILE_NAME, RunRecord, ScoredClip, score_mels, to_score
from soundwatch.training.fit.scores.thresholds import choose_thresholds, default_thresholds, threshold_evidence
from soundwatch.training.fit.setup.run_setup import RunSetup, describe_scored
from soundwatch.training.model.frontend import MelFrontEnd


def score_held_out(network: nn.Module, session: RunSetup, read: ClipCache) -> tuple[ScoredClip, ...]:
    """Score every held-out clip and negative."""
    clips = session.split.test + session.held_out_negatives
    if not clips:
        return ()
    front_end = MelFrontEnd(session.recipe.features).to(session.device)
    batches = mel_batches(clips, session, read, front_end)
    _, values = score_mels(network, batches, session.recipe, session.device)
    return tuple(
        ScoredClip(clip=clip.name, class_id=clip.class_id, values=tuple(round(float(value), 5) for value in row))
        for clip, row in zip(clips, values, strict=True)
    )


def score_folds(held_out: Sequence[ScoredClip], session: RunSetup, trained_on: str) -> tuple[EvaluationScore, ...]:
    """Compute the score on the held-out folds, if there are any, and draw the confusion matrix.

    Args:
        held_out: Held-out clips and negatives of the run.
        session: Inputs of the run.
        trained_on: Description of the training data.

    Raises:
        SinkError: The picture cannot be written.
    """
    labeled = [clip for clip in held_out if clip.class_id is not None]
    if not labeled:
        return ()
    metrics = measure(confusion_of(labeled))
    tested_on = describe_scored(session.split)
    if session.ranks.is_main:
        with writing_to(session.out):
            title = f"{session.recipe.name}: {tested_on}"
            draw_confusion(session.out / "confusion.png", metrics.confusion, session.labels, title)
    return (to_score(metrics, session.labels, trained_on, tested_on),)


def final_scores(
    held_out: Sequence[ScoredClip], fold_scores: tuple[EvaluationScore, ...], session: RunSetup
) -> tuple[tuple[EvaluationScore, ...], dict[str, float]]:
    """Return the scores of a run's contract, with those of its sources, and thresholds chosen on held-out clips."""
    scores = fold_scores + tuple(score for source in session.sources for score in source.scores)
    evidence = threshold_evidence(held_out, session.sources, session.held_out_negatives)
    labeled = any(clip.class_id is not None for clip in evidence)
    return scores, choose_thresholds(evidence, session.labels) if labeled else default_thresholds(session.labels)


def confusion_of(labeled: Sequence[ScoredClip]) -> Counts:
    """Count the confusion matrix (K, K) of labeled clips."""
    values = np.array([clip.values for clip in labeled], np.float32)
    return count_confusion(values, np.array([clip.class_id for clip in labeled]))


def write_record(record: RunRecord, session: RunSetup) -> None:
    """Write `run.json`, which marks the run as finished."""
    text = msgspec.json.format(msgspec.json.encode(record), indent=1)
    replace_bytes(session.out / FILE_NAME, text)


@contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Convert write errors into a `SinkError` with the folder."""
    try:
        yield
    except OSError as error:
        raise SinkError(
            f"The run cannot be written to {out}: {error}. Free space there, or choose another --out; a training run's "
            "earlier saves are intact, and --resume continues from them."
        ) from error
