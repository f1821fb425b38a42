"""Metrics against figures computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.fit.scores.metrics import count_confusion, measure
from soundwatch.training.fit.scores.scoring import ScoredClip
from soundwatch.training.fit.scores.thresholds import choose_thresholds, halve, threshold_evidence
from soundwatch.training.model.labels import LABELS
from soundwatch.training.model.losses import count_hits


def test_figures_computed_by_hand() -> None:
    # class 0: 3 clips, 2 found; class 1: 2 clips, 1 found; class 2: none, called once.
    called = [0, 0, 1, 1, 2]
    scores = np.eye(3, dtype=np.float32)[called]
    metrics = measure(count_confusion(scores, np.array([0, 0, 0, 1, 1])))
    assert metrics.confusion.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert metrics.accuracy == pytest.approx(3 / 5)
    assert metrics.recall == (2 / 3, 1 / 2, None)
    assert metrics.precision == (1.0, 0.5, 0.0)
    assert metrics.f1 == (0.8, 0.5, 0.0)
    assert metrics.macro_f1 == pytest.approx(0.65)


def test_training_accuracy_counts_examples_of_a_class_alone() -> None:
    targets = torch.tensor([[1.0, 0.0], [0.3, 0.7], [0.6, 0.4], [0.0, 0.0], [1.0, torch.nan]])
    logits = torch.tensor([[2.0, 1.0], [2.0, 1.0], [5.0, -1.0], [3.0, 1.0], [0.0, 1.0]])
    assert count_hits(logits, targets).tolist() == [2, 3]
    assert count_hits(logits[:0], targets[:0]).tolist() == [0, 0]


def _scored(class_id: int | None, value: float, of: int = 3) -> ScoredClip:
    return ScoredClip(clip="a.wav", class_id=class_id, values=tuple(value if k == of else 0.1 for k in range(10)))


def test_a_threshold_lets_one_of_two_hundred_clips_of_others_through() -> None:
    others = [_scored(0, 0.62), *[_scored(0, 0.15)] * 199]
    assert choose_thresholds([*others, _scored(3, 0.9)], LABELS)["dog_bark"] == 0.20  # 1 of 200 is just 0.5 %
    stricter = choose_thresholds([*others[1:], _scored(1, 0.62), _scored(0, 0.41)], LABELS)
    assert stricter["dog_bark"] == 0.45
    assert stricter["siren"] == 0.20


def test_a_threshold_keeps_its_distance_from_all_but_one_of_two_hundred_recordings_of_none() -> None:
    none = [_scored(None, 0.62), *[_scored(None, 0.09)] * 199]
    assert choose_thresholds(none, LABELS)["dog_bark"] == 0.20  # 1 of 200 is just 0.5 %
    assert choose_thresholds(none[:-1], LABELS)["dog_bark"] == 0.75
    clips = [_scored(0, 0.15)] * 1000
    assert choose_thresholds([*none[:-1], *clips], LABELS)["dog_bark"] == 0.75, "clips do not make up for them"


def test_an_inseparable_class_gets_the_highest_threshold() -> None:
    assert choose_thresholds([_scored(0, 0.99)] * 10, LABELS)["dog_bark"] == 0.95


def test_thresholds_are_chosen_on_half_of_the_held_out_negatives_and_the_open_set_is_the_other_half() -> None:
    negatives = [Clip(Path(f"rain/{number}.wav"), 0, None, str(number)) for number in range(40)]
    chosen_on, measured_on = halve(negatives)
    assert min(len(chosen_on), len(measured_on)) > 10
    scored = [ScoredClip(clip=clip.name, class_id=None, values=(0.5,)) for clip in negatives]
    evidence = threshold_evidence([*scored, _scored(0, 0.5)], (), negatives)
    assert [one.clip for one in evidence] == [*(clip.name for clip in chosen_on), "a.wav"]
