"""A head fitted on the features of a frozen network: logistic regression, and its scores on what a fit left out.

Conventions: an example is a recording with features (W, P) of its windows; each recording weighs 1. A recording of
class k is a negative of all other classes. The score of a recording is the highest of its windows, since one window
over the threshold raises an event. Folds hold whole groups: recordings of a class, kinds of other sounds.
Source: logistic regression with an L2 penalty, solved by L-BFGS; scores of left-out folds (cross-fitting).
Does not: read sound (`fit/head/fitted_head.py`), or choose thresholds (`evaluation/thresholds/fitted.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from soundwatch.training.data.datasets.other_sounds import Features

FOLDS: Final = 4
PENALTY: Final = 1e-3  # of the squared weights of standardized features
START_BIAS: Final = -3.0
MAX_ITERATIONS: Final = 200
ALIKE_SHARE: Final = 0.5  # of a kind's recordings that score as high as half of a class's own
MIN_ALIKE: Final = 2
MIN_GROUPS: Final = 2  # of a class; a single one is in every fit, since no head can learn the class without it


@dataclass(frozen=True, slots=True)
class Example:
    """One recording to fit on.

    Attributes:
        features: Features (W, P) of its windows.
        class_id: Class; None for other sounds.
        group: Group that a fold holds as a whole; None for a recording of every fit, which is never scored.
        kind: Kind of a shipped recording; None for the user's.
    """

    features: Features
    class_id: int | None
    group: str | None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Weights (K, P) and biases (K,) of a head."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def highest(self, features: Features) -> NDArray[np.float32]:
        """Compute the highest score (K,) over windows (W, P)."""
        logits = features @ self.weight.T + self.bias
        return np.asarray(1 / (1 + np.exp(-logits.max(axis=0))), np.float32)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Scores of recordings by heads that did not learn from them.

    Attributes:
        examples: All recordings of the fits.
        scores: Highest scores (N, K); NaN for recordings of every fit.
        head: Mean of these heads, whose scores thresholds chosen on `scores` fit.
    """

    examples: tuple[Example, ...]
    scores: NDArray[np.float32]
    head: Head

    def of_others(self) -> NDArray[np.int64]:
        """Return the indexes of scored recordings of other sounds."""
        rows = [row for row, one in enumerate(self.examples) if one.class_id is None and one.group is not None]
        return np.array(rows, np.int64)

    def of_class(self, class_id: int) -> NDArray[np.int64]:
        """Return the indexes of a class's scored recordings."""
        rows = [row for row, one in enumerate(self.examples) if one.class_id == class_id]
        return np.array([row for row in rows if not np.isnan(self.scores[row]).any()], np.int64)


def fit_head(examples: Sequence[Example], classes: int) -> Head:
    """Fit a head for K classes."""
    counts = [len(one.features) for one in examples]
    stacked = np.concatenate([one.features for one in examples])
    targets = np.zeros((len(examples), classes), np.float32)
    for row, one in enumerate(examples):
        if one.class_id is not None:
            targets[row, one.class_id] = 1
    mean = stacked.mean(axis=0)
    spread = stacked.std(axis=0) + 1e-2 * stacked.std() + 1e-6
    x = torch.from_numpy((stacked - mean) / spread)
    y = torch.from_numpy(np.repeat(targets, counts, axis=0))
    share = torch.from_numpy(np.repeat(1 / (np.array(counts) * len(counts)), counts).astype(np.float32))[:, None]
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.full((classes,), START_BIAS, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        logits = torch.nn.functional.linear(x, weight, bias)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
        total = (losses * share).sum() / classes + PENALTY * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    own_weight = weight.detach().numpy() / spread
    return Head(own_weight.astype(np.float32), (bias.detach().numpy() - own_weight @ mean).astype(np.float32))


def score_left_out(examples: Sequence[Example], classes: int) -> LeftOut:
    """Score every recording by a head that was fitted without its fold."""
    folds = _deal(examples)
    scores = np.full((len(examples), classes), np.nan, np.float32)
    heads = []
    for fold in range(FOLDS):
        head = fit_head([one for one, of in zip(examples, folds, strict=True) if of != fold], classes)
        heads.append(head)
        for row in np.flatnonzero(folds == fold).tolist():
            scores[row] = head.highest(examples[row].features)
    mean = Head(
        np.asarray(np.mean([head.weight for head in heads], axis=0), np.float32),
        np.asarray(np.mean([head.bias for head in heads], axis=0), np.float32),
    )
    return LeftOut(tuple(examples), scores, mean)


def score_unlike(examples: Sequence[Example], classes: int) -> tuple[LeftOut, dict[str, int]]:
    """Score by heads that left out, without the kinds that sound like a class; return these with the class."""
    found = dict[str, int]()
    while True:
        left_out = score_left_out([one for one in examples if one.kind not in found], classes)
        alike = _most_alike(left_out, classes)
        if not alike:
            return left_out, found
        found |= alike


def _most_alike(left_out: LeftOut, classes: int) -> dict[str, int]:
    """Return for each class the kind that a head without it takes for the class first; it may hold that class."""
    rows_of: dict[str, list[int]] = {}
    for row, one in enumerate(left_out.examples):
        if one.kind is not None:
            rows_of.setdefault(one.kind, []).append(row)
    alike = {}
    for class_id in range(classes):
        own = left_out.scores[left_out.of_class(class_id), class_id]
        usual = float(np.median(own)) if len(own) else 1.0
        shares = {
            kind: float((left_out.scores[rows, class_id] >= usual).mean())
            for kind, rows in rows_of.items()
            if len(rows) >= MIN_ALIKE
        }
        kind = max(shares, key=lambda name: shares[name], default="")
        if kind and shares[kind] >= ALIKE_SHARE:
            alike[kind] = class_id
    return alike


def _deal(examples: Sequence[Example]) -> NDArray[np.int64]:
    """Return the fold of each recording (N,), -1 for those of every fit; each class's groups are dealt out in turn."""
    folds = np.full(len(examples), -1, np.int64)
    for class_id in sorted({-1 if one.class_id is None else one.class_id for one in examples}):
        rows = [row for row, one in enumerate(examples) if (-1 if one.class_id is None else one.class_id) == class_id]
        groups = {group for row in rows if (group := examples[row].group) is not None}
        if class_id >= 0 and len(groups) < MIN_GROUPS:
            continue
        order = sorted(groups, key=lambda group: hashlib.sha256(group.encode()).hexdigest())
        place = {group: number % FOLDS for number, group in enumerate(order)}
        for row in rows:
            group = examples[row].group
            folds[row] = -1 if group is None else place[group]
    return folds
