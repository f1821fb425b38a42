"""A busy street is drawn as stated, sounds as planned, and its events are counted right."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from soundwatch.daemon.core.errors import DataError
from soundwatch.training.data.audio.unit_clips import RATE_HZ, read_unit
from soundwatch.training.data.datasets.everyday_sounds import read_everyday_sounds
from soundwatch.training.evaluation.detection.score_track import Detection
from soundwatch.training.evaluation.streets.busy_street import Material, Scene, SceneSpec, Target, plan_scene
from soundwatch.training.evaluation.streets.event_counts import count_scene, pool
from soundwatch.training.evaluation.streets.scene_audio import render_scene
from support.everyday_folder import write_everyday_folder

LABELS = ("siren", "dog_bark", "car_horn")


@pytest.fixture
def material(tmp_path: Path) -> Material:
    clips = read_everyday_sounds(write_everyday_folder(tmp_path))
    targets = tuple(Target(clip.path, clip.label, clip.recording) for clip in clips if clip.label)
    backgrounds = tuple(clip for clip in clips if clip.kind == "street")
    return Material(targets, tuple(clip for clip in clips if clip.is_negative), backgrounds)


@pytest.fixture
def scene(material: Material) -> Scene:
    return plan_scene(material, SceneSpec(10, 10.0, 130, 1))


def test_a_seed_gives_one_scene_and_another_seed_another(material: Material, scene: Scene) -> None:
    assert plan_scene(material, SceneSpec(10, 10.0, 130, 1)) == scene
    assert plan_scene(material, SceneSpec(10, 10.0, 130, 2)) != scene


def test_sounds_never_overlap_and_stay_inside(scene: Scene) -> None:
    assert all(one.onset_s + one.length_s + 2 <= other.onset_s + 1e-6 for one, other in pairwise(scene.foreground))
    assert scene.foreground[-1].onset_s + scene.foreground[-1].length_s <= scene.length_s


def test_every_part_occurs_as_often_as_requested(scene: Scene) -> None:
    parts = [item.part for item in scene.foreground]
    assert parts.count("target") == pytest.approx(130 / 6, abs=1)
    assert parts.count("negative") == pytest.approx(130 / 6, abs=1)
    assert parts.count("knock") == pytest.approx(40 / 6, abs=1)
    assert {item.kind for item in scene.foreground if item.part == "knock"} == {"footsteps"}


def test_no_excerpt_is_repeated_within_a_background(scene: Scene) -> None:
    assert len({background.recording for background in scene.backgrounds}) == 12
    assert all(len(set(background.paths)) == len(background.paths) for background in scene.backgrounds)
    assert all(one.end_s == other.start_s for one, other in pairwise(scene.backgrounds))


def test_a_target_has_the_stated_level_above_its_background(scene: Scene) -> None:
    sound = np.concatenate([block.samples[0] for block in render_scene(scene)])
    target = next(item for item in scene.foreground if item.part == "target")
    first = round(target.onset_s * RATE_HZ)
    clip = read_unit(target.path)
    gain = np.dot(sound[first : first + clip.size], clip) / clip.size
    under = next(background for background in reversed(scene.backgrounds) if background.start_s <= target.onset_s)
    assert 20 * np.log10(gain) - under.level_dbfs == pytest.approx(10, abs=0.5)


def test_a_street_without_backgrounds_is_refused(material: Material) -> None:
    with pytest.raises(DataError, match="There are no backgrounds"):
        plan_scene(Material(material.targets, material.negatives, ()), SceneSpec(10, 10.0, 130, 1))


def test_events_are_found_false_or_uncertain(scene: Scene) -> None:
    target = next(item for item in scene.foreground if item.part == "target")
    music = next(item for item in scene.foreground if "street_music" in item.uncertain)
    labels = (*LABELS, "street_music")
    detections = [
        Detection(0, target.onset_s + 1, target.onset_s + 2),
        Detection(1, target.onset_s, target.onset_s + 2),
        Detection(3, music.onset_s + 0.1, music.onset_s + 2),
    ]
    counts = count_scene(scene, [detections, []], labels, 4.0, 1.0)
    assert counts.found[:, 0].sum(axis=1).tolist() == [1, 0]
    assert counts.false.sum(axis=2).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    assert counts.delays_s[0][0] == pytest.approx((2.0,))
    assert counts.there[0].sum() == sum(item.part == "target" for item in scene.foreground)


def test_two_scenes_count_as_one(scene: Scene) -> None:
    one = count_scene(scene, [[Detection(1, 1.0, 2.0)]], LABELS, 4.0, 1.0)
    both = pool([one, one])
    assert both.hours == pytest.approx(2 * one.hours)
    assert both.false.sum() == 2
    assert both.there.shape[1] == 2 * one.there.shape[1]
