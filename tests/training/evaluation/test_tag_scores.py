"""Tags are kept by their recordings and by validation clips, and are measured on test recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soundwatch.daemon.core.model.operation import TagScore
from soundwatch.training.data.datasets.everyday_sounds import EverydayClip, Role
from soundwatch.training.distillation.sound_groups import GROUPS
from soundwatch.training.evaluation.tag_scores import count_tags, is_useful, judged_groups

CAT, GLASS = (next(group for group in GROUPS if group.name == name) for name in ("cat", "glass"))


def clip(kind: str, recording: str, role: Role = "test_recordings") -> EverydayClip:
    nothing: frozenset[str] = frozenset()
    path = Path(f"{recording}.wav")
    return EverydayClip(path, path.name, kind, recording, "own", "CC0", None, None, nothing, nothing, role)


def clips(kind: str, training: int, tested: int) -> list[EverydayClip]:
    learned = [clip(kind, f"{kind}-train-{number}", "train") for number in range(training)]
    return learned + [clip(kind, f"{kind}-test-{number}") for number in range(tested)]


@pytest.mark.parametrize(("training", "tested", "kept"), [(8, 3, True), (7, 3, False), (8, 2, False)])
def test_a_tag_needs_clips_to_learn_from_and_recordings_to_be_judged_by(training: int, tested: int, kept: bool) -> None:
    assert (CAT in judged_groups(clips("cat", training, tested))) is kept


def test_clips_of_one_recording_count_as_one() -> None:
    sounds = [*clips("cat", 8, 0), *(clip("cat", "one") for _ in range(5))]
    assert judged_groups(sounds) == ()


def test_all_kinds_of_a_group_count() -> None:
    sounds = [*clips("glass_breaking", 4, 2), *clips("glass_clink", 4, 1)]
    assert judged_groups(sounds) == (GLASS,)


def test_precision_and_recall_are_of_clips_at_the_threshold_of_tags() -> None:
    sounds = [clip("cat", "a"), clip("cat", "a"), clip("cat", "b"), clip("dishes", "c"), clip("glass_clink", "d")]
    highest = np.array([[0.9, 0.0], [0.5, 0.1], [0.49, 0.2], [0.8, 0.3], [0.1, 0.4]], np.float32)
    scores = count_tags(highest, sounds, (CAT, GLASS))
    assert scores["cat"] == TagScore(clips=3, recordings=2, recall=0.667, precision=0.667)
    assert scores["glass"] == TagScore(clips=1, recordings=1, recall=0.0, precision=None)


def test_a_tag_without_a_clip_has_no_recall() -> None:
    scores = count_tags(np.array([[0.9]], np.float32), [clip("dishes", "a")], (CAT,))
    assert scores["cat"] == TagScore(clips=0, recordings=0, recall=None, precision=0.0)


@pytest.mark.parametrize(
    ("own_clips", "recall", "precision", "useful"),
    [(3, 0.4, 0.25, True), (3, 0.0, None, False), (3, 0.4, 0.24, False), (2, 0.0, 0.0, True), (0, None, None, True)],
)
def test_validation_clips_refuse_a_tag_that_is_never_or_seldom_right(
    own_clips: int, recall: float | None, precision: float | None, useful: bool
) -> None:
    assert is_useful(TagScore(clips=own_clips, recordings=own_clips, recall=recall, precision=precision)) is useful
