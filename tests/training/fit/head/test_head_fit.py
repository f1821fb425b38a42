"""A head fitted on features: kinds are scored by heads without them, and thresholds bound other sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.inference.classifier import load_classifier_file, resolve_model
from soundwatch.training.data.datasets.other_sounds import (
    OtherSound,
    OtherSounds,
    decode_other_sounds,
    named_alike,
    read_other_sounds,
    write_other_sounds,
)
from soundwatch.training.evaluation.thresholds.fitted import RAISED_SHARE, choose_fitted
from soundwatch.training.fit.head.head_fit import Example, Head, LeftOut, fit_head, score_left_out, score_unlike

WIDTH = 12


def _cloud(place: int, rng: np.random.Generator, spread: float = 0.3) -> np.ndarray:
    center = np.zeros(WIDTH)
    center[place] = 2.0
    return np.abs(center + rng.normal(0, spread, (2, WIDTH))).astype(np.float32)


def _examples(alike: bool = False) -> list[Example]:
    rng = np.random.default_rng(3)
    own = [Example(_cloud(k, rng), k, f"own {k} {n}") for k in (0, 1) for n in range(12)]
    kinds = range(2, 10)
    others = [Example(_cloud(kind, rng), None, f"kind {kind}", f"k{kind}") for kind in kinds for _ in range(8)]
    same = [Example(_cloud(0, rng), None, "kind same", "same") for _ in range(8)] if alike else []
    return [*own, *others, *same, *(Example(_cloud(11, rng), None, None) for _ in range(10))]


def test_a_fitted_head_separates_classes_from_other_sounds() -> None:
    examples = _examples()
    head = fit_head(examples, 2)
    for one in examples:
        scores = head.highest(one.features)
        assert (scores > 0.5).tolist() == [one.class_id == 0, one.class_id == 1]


def test_a_recording_is_scored_by_heads_without_its_group_and_a_sound_of_every_fit_by_none() -> None:
    examples = _examples()
    left_out = score_left_out(examples, 2)
    scored = ~np.isnan(left_out.scores).any(axis=1)
    assert scored.tolist() == [one.group is not None for one in examples]
    again = score_left_out(examples, 2)
    np.testing.assert_array_equal(left_out.scores, again.scores)


def test_a_kind_that_sounds_like_a_class_is_found_and_no_other() -> None:
    assert score_unlike(_examples(alike=True), 2)[1] == {"same": 0}
    assert score_unlike(_examples(), 2)[1] == {}


def test_a_class_of_one_recording_takes_no_kind_for_itself_and_gets_a_threshold() -> None:
    examples = [one for one in _examples() if one.class_id != 1]
    rng = np.random.default_rng(5)
    single = [Example(_cloud(1, rng), 1, "own only") for _ in range(12)]
    left_out, alike = score_unlike([*examples, *single], 2)
    assert alike == {}
    chosen = choose_fitted(left_out, 2)
    assert chosen.clips == 12, "clips whose heads have not learned the class are not counted"
    assert chosen.unmeasured == (1,)
    assert all(left_out.head.highest(one.features)[1] > chosen.values[1] for one in single)


def test_the_head_is_the_mean_of_those_that_left_a_fold_out() -> None:
    examples = _examples()
    head = score_left_out(examples, 2).head
    for one in examples:
        assert (head.highest(one.features) > 0.5).tolist() == [one.class_id == 0, one.class_id == 1]


def test_a_class_that_other_sounds_resemble_has_the_smaller_part_of_the_events_on_them() -> None:
    rng = np.random.default_rng(2)
    examples = [Example(np.zeros((1, 1), np.float32), k, f"own {k} {n}") for k in (0, 1) for n in range(20)]
    examples += [Example(np.zeros((1, 1), np.float32), None, f"kind {n}", str(n)) for n in range(400)]
    scores = rng.uniform(0, 0.4, (440, 2)).astype(np.float32)
    scores[:20, 0] = 0.9  # far above all other sounds
    scores[20:40, 1] = rng.uniform(0.3, 0.5, 20)  # among the highest of them
    head = Head(np.zeros((2, 1), np.float32), np.zeros(2, np.float32))
    chosen = choose_fitted(LeftOut(tuple(examples), scores, head), 2)
    raised = (scores[40:] >= np.array(chosen.values)).sum(axis=0)
    assert raised[0] <= 2
    assert raised[1] >= 12
    assert chosen.found >= 30


def test_thresholds_bound_the_share_of_other_sounds_and_find_the_classes() -> None:
    left_out = score_left_out(_examples(), 2)
    chosen = choose_fitted(left_out, 2)
    raised = (left_out.scores[left_out.of_others()] >= np.array(chosen.values)).any(axis=1).mean()
    assert raised <= RAISED_SHARE
    assert chosen.clips == 24
    assert chosen.found >= 22
    assert chosen.recordings == 64
    assert chosen.unmeasured == ()


def test_other_sounds_read_back_nearly_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sounds = tuple(OtherSound(f"k{n % 3}", n, rng.gamma(0.5, 1.0, (1 + n % 4, 8)).astype(np.float32)) for n in range(9))
    write_other_sounds(tmp_path / "others.npz", OtherSounds("abc", sounds))
    read = decode_other_sounds((tmp_path / "others.npz").read_bytes())
    assert read.weights_sha256 == "abc"
    assert [(one.kind, one.recording, len(one.features)) for one in read.sounds] == [
        (one.kind, one.recording, len(one.features)) for one in sounds
    ]
    for one, was in zip(read.sounds, sounds, strict=True):
        np.testing.assert_allclose(np.sqrt(one.features), np.sqrt(was.features), atol=0.06)


def test_kinds_are_left_out_by_a_word_of_a_classes_name() -> None:
    kinds = ("baby_cry", "bell", "cow", "door_close", "rain")
    assert named_alike(kinds, ("doorbell", "Baby")) == ("baby_cry", "bell", "door_close")
    assert named_alike(kinds, ("घंटी",)) == ()


def test_a_kind_that_is_not_there_is_refused_with_those_that_are() -> None:
    others = OtherSounds("abc", (OtherSound("rain", 0, np.zeros((1, 2), np.float32)),))
    assert others.without({"rain"}).sounds == ()
    with pytest.raises(ConfigError, match=r"--leave-out rainn, and no other sounds of this kind .* there are rain"):
        others.without({"rainn"})


def test_other_sounds_ship_for_the_default_model() -> None:
    weights = load_classifier_file(resolve_model("urban"), "cpu").contract.weights_sha256
    others = read_other_sounds(weights)
    assert others is not None, "run scripts/other_sounds.py after a change of the model"
    assert len(others.kinds) > 50
    assert read_other_sounds("0" * 64) is None
