"""Classification metrics.

Conventions: a confusion matrix is (K, K) counts, rows the true class, columns the class with the
highest score. A share whose denominator is 0 is None in recall (no such clip) and 0 in precision and F1.
Macro F1 is the mean of F1 over the classes that have clips.
Does not: know the names of the classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a confusion matrix.

    Attributes:
        confusion: Confusion matrix (K, K).
        accuracy: Share of correctly classified clips.
        macro_f1: Mean of `f1` over classes with clips.
        precision: Share of correct clips among the clips predicted as the class, per class.
        recall: Share of correct clips among the clips of the class, per class; None without clips.
        f1: Harmonic mean of precision and recall, per class.
    """

    confusion: Counts
    accuracy: float
    macro_f1: float
    precision: tuple[float, ...]
    recall: tuple[float | None, ...]
    f1: tuple[float, ...]


def count_confusion(scores: NDArray[np.float32], class_ids: NDArray[np.int64]) -> Counts:
    """Count the confusion matrix (K, K) of scores (N, K) and true classes (N,)."""
    counts = np.zeros((scores.shape[1], scores.shape[1]), np.int64)
    np.add.at(counts, (class_ids, scores.argmax(axis=1)), 1)
    return counts


def measure(confusion: Counts) -> Metrics:
    """Compute all metrics of a confusion matrix with at least one clip."""
    hits = confusion.diagonal()
    source_stats, calls = confusion.sum(axis=1), confusion.sum(axis=0)
    recall = tuple(int(hit) / int(truth) if truth else None for hit, truth in zip(hits, source_stats, strict=True))
    precision = tuple(int(hit) / int(call) if call else 0.0 for hit, call in zip(hits, calls, strict=True))
    # 2 hits / (true + predicted) is the harmonic mean of precision and recall without their divisions by 0.
    f1 = tuple(2 * int(hit) / max(1, int(both)) for hit, both in zip(hits, source_stats + calls, strict=True))
    macro_f1 = float(np.mean([value for value, truth in zip(f1, source_stats, strict=True) if truth]))
    return Metrics(confusion, int(hits.sum()) / int(source_stats.sum()), macro_f1, precision, recall, f1)
