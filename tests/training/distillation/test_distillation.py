"""Distillation: views within a fold, cached teacher targets, and runs that resume bit-identically."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError, ModelError
from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.cli.train import train as train_command
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.distillation.augmented_views import View, plan_views, render_view, target_of
from soundwatch.training.distillation.feature_hint import Hint
from soundwatch.training.distillation.soft_labels import soft_targets
from soundwatch.training.distillation.teacher import AUDIOSET_CLASSES, YamNet
from soundwatch.training.distillation.teacher_targets import (
    TeacherTargets,
    cache_teacher_targets,
    teacher_targets_folder,
)
from soundwatch.training.model.checkpoint import FILE_NAME, load_network, read_checkpoint
from soundwatch.training.model.network_recipe import SeparableCnn
from soundwatch.training.model.recipe import Recipe
from support.level_teacher import TEACHING, LevelTeacher
from support.tiny_run import class_tone, run_silently, run_until_cut_off, setup_on_folds

NEGATIVE = Clip(Path("rain.wav"), 0, None, "rain")


def _clips(folds: tuple[int, ...] = (1, 2)) -> tuple[Clip, ...]:
    return tuple(Clip(Path(f"{fold}{n}.wav"), fold, n, f"{fold}{n}") for fold in folds for n in range(10))


def _silence(clip: Clip) -> Samples:
    return np.zeros((1, 3000), np.float32)


def _with_teacher(recipe: Recipe) -> Recipe:
    return msgspec.structs.replace(recipe, teaching=TEACHING)


def _initialized(recipe: Recipe) -> Recipe:
    """Return a recipe with a network like the trunk of `LevelTeacher`, which initializes it."""
    return msgspec.structs.replace(
        recipe,
        features=msgspec.structs.replace(recipe.features, channels=1, normalisation="peak"),
        network=SeparableCnn(widths=(4, 6), strides=(2, 1), dropout_share=0.1),
        teaching=msgspec.structs.replace(TEACHING, start="teacher"),
    )


def test_a_view_depends_on_one_fold_only() -> None:
    both, one = (plan_views((*_clips(folds), NEGATIVE), TEACHING, 0.0) for folds in ((1, 2), (1,)))
    partners = [(view.clip, view.partner) for view in both if view.clip and view.partner]
    assert partners
    assert all(other.fold in (0, clip.fold) for clip, other in partners)
    first = {view.key for view in one if view.clip and view.clip.fold == 1}
    assert first == {view.key for view in both if view.clip and view.clip.fold == 1}


def test_a_removed_clip_changes_only_its_own_views() -> None:
    clips = _clips((1,))
    before, after = ({view.key for view in plan_views(some, TEACHING, 0.0)} for some in (clips, clips[1:]))
    kept = [view for view in plan_views(clips, TEACHING, 0.0) if clips[0] not in (view.clip, view.partner)]
    assert {view.key for view in kept} <= before & after


def test_a_views_target_gives_the_audibility_of_each_class() -> None:
    one, other = _clips((1,))[2:4]
    for number in range(20):
        view = View(one, other, number, 7)
        louder_db = 20 * np.log10(view.share / (1 - view.share))
        wanted = np.clip([1 + louder_db / 15, 1 - louder_db / 15], 0, 1)
        assert target_of(view, 10)[[2, 3]] == pytest.approx(wanted)
        assert max(wanted) == 1
        assert target_of(View(one, NEGATIVE, number, 7), 10).sum() <= 1
    assert target_of(View(one, None, 0, 7), 10).tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert not target_of(View(None, None, 1, 7), 10).any()


def test_a_view_is_one_finite_window_and_reproducible() -> None:
    one, other = _clips((1,))[2:4]
    for view in (View(one, None, 0, 7), View(one, None, 1, 7), View(one, other, 1, 7), View(None, None, 1, 7)):
        samples = render_view(view, class_tone, 4000, 8000)
        assert samples.shape == (1, 4000)
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert np.array_equal(samples, render_view(view, class_tone, 4000, 8000))
    assert np.array_equal(render_view(View(one, None, 0, 7), class_tone, 4000, 8000)[:, :3000], class_tone(one))


def test_silence_mixed_with_silence_stays_finite() -> None:
    one, other = _clips((1,))[:2]
    samples = render_view(View(one, other, 1, 7), _silence, 4000, 8000)
    assert np.isfinite(samples).all()


def test_teacher_features_are_cached_and_computed_again_for_a_truncated_file(tiny_recipe: Recipe) -> None:
    teacher, views = LevelTeacher(), plan_views(_clips((1,)), TEACHING, 0.1)
    spec, console = tiny_recipe.features, Console(file=io.StringIO())
    first = cache_teacher_targets(views, 10, spec, teacher, class_tone, console)
    assert teacher.calls == len(views) == 33
    assert first.mel_db.shape == (33, spec.n_mels, spec.n_frames)
    next(teacher_targets_folder().glob("*.npz")).write_bytes(b"PK")
    second = cache_teacher_targets(views, 10, spec, teacher, class_tone, console)
    assert teacher.calls == 34
    assert np.array_equal(first.mel_db, second.mel_db)
    assert np.array_equal(first.teacher_features, second.teacher_features)


def test_teacher_features_with_the_oldest_use_are_removed_above_the_limit(
    tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, views = LevelTeacher(), plan_views(_clips((1,)), TEACHING, 0.1)
    spec, console = tiny_recipe.features, Console(file=io.StringIO())
    cache_teacher_targets(views[:4], 10, spec, teacher, class_tone, console)
    monkeypatch.setattr("soundwatch.training.distillation.teacher_targets.LIMIT_MB", 0)
    cache_teacher_targets(views[4:6], 10, spec, teacher, class_tone, console)
    assert len([*teacher_targets_folder().glob("*.npz")]) == 2
    cache_teacher_targets(views[4:6], 10, spec, teacher, class_tone, console)
    assert teacher.calls == 6


def test_a_head_finds_the_one_informative_window() -> None:
    rng = np.random.default_rng(0)
    class_ids = rng.integers(0, 10, 640)
    teacher_features = rng.normal(0, 0.1, (640, 4, 20))
    teacher_features[np.arange(640), rng.integers(0, 4, 640), class_ids] += 3
    targets = np.eye(10, dtype=np.float32)[class_ids]
    groups = np.zeros((640, 1), np.float32)
    teacher_targets = TeacherTargets(
        np.zeros((640, 1, 1), np.float16), teacher_features.astype(np.float16), targets, groups
    )
    assert np.mean(soft_targets(teacher_targets, 2, 1).argmax(axis=1) == class_ids) > 0.9


def test_a_hint_compares_each_window_with_the_frames_that_share_its_time() -> None:
    teacher_features = np.random.default_rng(0).normal(0, 1, (700, 7, 8)).astype(np.float16)
    hint = Hint(3, np.linspace(0, 4, 12), teacher_features)
    assert hint.overlap.sum(dim=0).tolist() == pytest.approx([1.0] * 7)
    assert hint.overlap[0].tolist() == pytest.approx([4 / 11 / 0.975, 0, 0, 0, 0, 0, 0])
    torch.nn.init.zeros_(hint.projection.weight)
    assert hint.projection.bias is not None
    torch.nn.init.zeros_(hint.projection.bias)
    # Features of deviation 1 that nothing is told of: the loss is their variance.
    loss = hint(torch.zeros(700, 3, 2, 11), torch.from_numpy(teacher_features.astype(np.float32)))
    assert loss.item() == pytest.approx(1, 0.1)


@pytest.mark.parametrize("start", ["drawn", "teacher"])
def test_a_distillation_run_resumes_bit_identically_and_gives_a_plain_network(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    recipe = _with_teacher(tiny_recipe) if start == "drawn" else _initialized(tiny_recipe)
    whole, cut = (setup_on_folds(tiny_data, recipe, tmp_path / name, LevelTeacher()) for name in ("whole", "cut"))
    run_silently(whole)
    run_until_cut_off(cut, monkeypatch)
    run_silently(cut, resume=True)
    one, other = (read_checkpoint(session.out / FILE_NAME) for session in (whole, cut))
    for state, resumed in ((one.model, other.model), (one.hint or {}, other.hint or {})):
        assert state
        assert all(torch.equal(state[name], resumed[name]) for name in state)
    network, contract = load_network(whole.out / FILE_NAME)
    assert not [name for name, _ in network.named_parameters() if "projection" in name]
    assert contract.provenance.recipe_sha256 == recipe.sha256
    assert ("YAMNet" in contract.provenance.licence) == (start == "teacher")


def test_a_recipe_without_a_teacher_keeps_its_hash(tiny_recipe: Recipe) -> None:
    assert b"teaching" not in msgspec.json.encode(tiny_recipe)
    assert _with_teacher(tiny_recipe).sha256 != tiny_recipe.sha256


@pytest.mark.parametrize(
    ("recipe", "teacher", "message"),
    [("urban-taught", (), "give YAMNet's .tflite file"), ("urban", ("--teacher", "x"), "from labels alone")],
)
def test_a_missing_or_unneeded_teacher_is_refused(
    tiny_data: Path, recipe: str, teacher: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(
            train_command, ["--data", str(tiny_data), "--recipe", recipe, *teacher], catch_exceptions=False
        )


def test_a_file_that_is_no_teacher_is_named(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="the extra `teacher` is not installed")
    with pytest.raises(ModelError, match="cannot be read"):
        YamNet(tmp_path / "nothing.tflite")
    (tmp_path / "noise.tflite").write_bytes(b"noise")
    with pytest.raises(ModelError, match="does not open as a TensorFlow Lite model"):
        YamNet(tmp_path / "noise.tflite")


@pytest.mark.data
def test_yamnets_features_do_not_depend_on_the_level(shared_data: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="the extra `teacher` is not installed")
    teacher = YamNet(shared_data.parent / "models" / "yamnet.tflite")
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 88200)).astype(np.float32)
    loud, quiet = (teacher.outputs(noise * np.float32(gain), 22050).features for gain in (1.0, 0.01))
    assert loud.shape == (7, 1024)
    assert np.abs(loud - quiet).mean() < 0.01 * np.abs(loud).mean()
    assert teacher.outputs(noise[:, :100], 22050).features.shape == (0, 1024)
    silence = teacher.outputs(np.zeros((1, 88200), np.float32), 22050)
    assert np.isfinite(silence.features).all()
    assert silence.scores.shape == (AUDIOSET_CLASSES,)
    assert silence.scores.argmax() == 494  # AudioSet's silence
