"""Street mixes: their sounds, audibility, and a training run on them."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.cli.train import train as train_command
from soundwatch.training.data.datasets.everyday_sounds import COLUMNS
from soundwatch.training.data.datasets.urbansound8k import Clip, split_by_folds
from soundwatch.training.distillation.sound_groups import GROUPS, group_of, group_scores
from soundwatch.training.distillation.street_mixes import (
    StreetMix,
    StreetSound,
    mix_groups,
    mix_target,
    render_mix,
)
from soundwatch.training.distillation.street_plan import plan_mixes
from soundwatch.training.distillation.street_sounds import (
    negative_sounds,
    read_street_sounds,
    without_held_out_kinds,
)
from soundwatch.training.distillation.teacher import AUDIOSET_CLASSES
from soundwatch.training.fit.setup.run_setup import RunSetup
from soundwatch.training.model.checkpoint import FILE_NAME, load_network, read_checkpoint
from soundwatch.training.model.labels import LABELS
from soundwatch.training.model.losses import compute_loss
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.street_recipe import StreetMixes
from support.level_teacher import TEACHING, LevelTeacher
from support.tiny_run import class_tone, run_silently, run_until_cut_off

STREET = StreetMixes(
    target_mixes=2,
    rare_factor=3.0,
    negative_mixes=300,
    background_mixes=10,
    synthetic_mixes=4,
    snr_db=(0.0, 25.0),
    background_probability=0.7,
    second_probability=0.5,
    group_weight=0.5,
    seed=1,
)
SIREN, DOG, MUSIC = (LABELS.index(label) for label in ("siren", "dog_bark", "street_music"))


def _target(fold: int, class_id: int, number: int = 0) -> StreetSound:
    clip = Clip(Path(f"{fold}-{class_id}-{number}.wav"), fold, class_id, f"{fold}-{class_id}-{number}")
    return StreetSound(clip, LABELS[class_id])


def _negative(kind: str, recording: str, uncertain: frozenset[int] = frozenset()) -> StreetSound:
    return StreetSound(Clip(Path(f"{kind}/{recording}.ogg"), 0, None, recording), kind, uncertain)


STREETS = tuple(
    StreetSound(Clip(Path(f"traffic/{n}.ogg"), 0, None, f"traffic{n}"), "traffic", background=True) for n in range(3)
)
KNOCKS = tuple(_negative("door_knock", f"knock{n}") for n in range(16))
CAT = _negative("cat", "cat")
TARGETS = tuple(_target(fold, class_id, number) for fold in (1, 2) for class_id in range(10) for number in range(2))


def _mix(*sounds: StreetSound, background: StreetSound | None = None, snr_db: float = 0.0) -> StreetMix:
    return StreetMix(sounds, background, 0, 1, (snr_db, snr_db))


def test_a_mix_never_joins_two_folds() -> None:
    mixes = plan_mixes((*TARGETS, *STREETS, *KNOCKS, CAT), STREET)
    folds = [{clip.fold for clip in mix.clips} - {0} for mix in mixes]
    assert max(map(len, folds)) == 1
    assert any(len(mix.sounds) == 2 and mix.sounds[1].clip.fold for mix in mixes)


def test_the_mixes_of_a_fold_do_not_depend_on_other_folds() -> None:
    both, one = (
        {
            mix.key
            for mix in plan_mixes((*targets, *STREETS, *KNOCKS), STREET)
            if {clip.fold for clip in mix.clips} & {1}
        }
        for targets in (TARGETS, TARGETS[:20])
    )
    assert one
    assert both == one


def test_a_kind_with_sixteen_recordings_gets_four_times_the_mixes_of_a_kind_with_one() -> None:
    mixes = plan_mixes((*KNOCKS, CAT), STREET)
    first = Counter(mix.sounds[0].kind for mix in mixes if mix.sounds)
    assert first["door_knock"] / first["cat"] == pytest.approx(4, rel=0.4)


def test_a_class_with_few_clips_gets_more_mixes_of_each() -> None:
    plenty = [_target(1, DOG, number) for number in range(12)]
    mixes = plan_mixes([*plenty, _target(1, SIREN)], STREET)
    counts = Counter(mix.sounds[0].clip.path.name for mix in mixes if mix.sounds)
    assert counts[f"1-{DOG}-0.wav"] == 2
    assert counts[f"1-{SIREN}-0.wav"] == 6


@pytest.mark.parametrize(("snr_db", "wanted"), [(10.0, 1.0), (0.0, 1.0), (-7.5, 0.5), (-20.0, 0.0)])
def test_a_class_counts_as_audible_down_to_the_level_of_its_background(snr_db: float, wanted: float) -> None:
    target = mix_target(_mix(_target(1, SIREN), background=STREETS[0], snr_db=snr_db), 10)
    assert target[SIREN] == pytest.approx(wanted)
    assert target.sum() == target[SIREN]


def test_a_class_that_may_be_audible_has_no_target_unless_it_is_masked() -> None:
    band = _negative("drums", "band", frozenset({MUSIC}))
    assert np.isnan(mix_target(_mix(band), 10)[MUSIC])
    assert np.isnan(mix_target(_mix(band, background=STREETS[0], snr_db=5), 10)[MUSIC])
    street = StreetSound(band.clip, "street", frozenset({MUSIC}), background=True)
    assert np.isnan(mix_target(_mix(CAT, background=street, snr_db=5), 10)[MUSIC])
    assert mix_target(_mix(CAT, background=street, snr_db=25), 10)[MUSIC] == 0
    assert mix_target(_mix(_target(1, MUSIC), background=street, snr_db=5), 10)[MUSIC] == 1


def test_a_target_that_is_not_known_moves_nothing() -> None:
    logits = torch.tensor([[0.5, -1.0, 2.0]], requires_grad=True)
    compute_loss(logits, torch.tensor([[1.0, float("nan"), 0.0]]), "sigmoid", 0.1).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0
    assert logits.grad[0, [0, 2]].abs().min() > 0


def test_every_mix_is_one_finite_window_and_identical_each_time() -> None:
    mixes = [mix for mix in plan_mixes((*TARGETS, *STREETS, *KNOCKS, CAT), STREET) if mix.number < 3]
    assert {len(mix.sounds) for mix in mixes} == {0, 1, 2}
    for mix in mixes[::5] + mixes[-4:]:
        samples = render_mix(mix, class_tone, 4000, 8000)
        assert samples.shape == (1, 4000)
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert np.array_equal(samples, render_mix(mix, class_tone, 4000, 8000))


def test_a_sound_has_the_drawn_level_above_its_background() -> None:
    quiet = StreetSound(Clip(Path("hush.ogg"), 0, None, "hush"), "wind", background=True)

    def read(clip: Clip) -> Samples:
        return np.zeros((1, 8000), np.float32) if clip.recording == "hush" else np.ones((1, 4000), np.float32)

    loud, even = (
        render_mix(_mix(_target(1, DOG), background=quiet, snr_db=snr_db), read, 4000, 8000) for snr_db in (20.0, 0.0)
    )
    assert 20 * np.log10(np.abs(loud).max() / np.abs(even).max()) == pytest.approx(20, abs=8)  # equalisers differ


def test_groups_have_names_and_places_of_their_own() -> None:
    assert len({group.name for group in GROUPS}) == len(GROUPS)
    places = [place for group in GROUPS for place in group.audioset]
    assert len(set(places)) == len(places)
    assert max(places) < AUDIOSET_CLASSES
    kinds = [kind for group in GROUPS for kind in group.kinds]
    assert len(set(kinds)) == len(kinds)
    assert not {group.name for group in GROUPS} & set(LABELS)


def test_the_target_of_a_group_is_the_maximum_of_clip_and_teacher() -> None:
    scores = np.zeros((2, AUDIOSET_CLASSES), np.float16)
    scores[1, 78] = 0.5  # Meow
    cat = group_of("cat")
    assert cat is not None
    assert group_scores(scores)[:, cat].tolist() == [0, 0.5]
    assert mix_groups(_mix(CAT))[cat] == 1
    assert mix_groups(_mix(CAT, background=STREETS[0], snr_db=-7.5))[cat] == pytest.approx(0.5)


@pytest.fixture
def everyday(tmp_path: Path) -> Path:
    """A cat, music that may be street music, a siren and traffic of several recordings each, and a held-out kind."""
    folder, rate_hz = tmp_path / "everyday", 8000
    kinds = {"cat": "", "drums": "", "siren": "siren", "traffic": "", "snoring": ""}
    rows: list[dict[str, str]] = []
    for kind, label in kinds.items():
        (folder / kind).mkdir(parents=True)
        for number in range(8):
            file = f"{kind}/{number}.wav"
            tone = 0.3 * np.sin(np.arange(3000) * (len(rows) + 1) / 30)
            soundfile.write(folder / file, tone.astype(np.float32), rate_hz)
            near = "street_music" if kind == "drums" else ""
            known = {
                "source": "a recorder",
                "licence": "CC0",
                "file": file,
                "kind": kind,
                "recording": f"{kind}{number}",
                "is_target_class": label,
            }
            rows.append(dict.fromkeys(COLUMNS, "") | known | {"near_target": near})
    with (folder / "metadata.csv").open("w", newline="") as file_:
        writer = csv.DictWriter(file_, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_only_training_sounds_are_read_with_their_uncertain_classes(everyday: Path) -> None:
    everyday_sounds = read_street_sounds(everyday, LABELS)
    sounds = everyday_sounds.sounds
    assert everyday_sounds.sources == (f"a recorder: CC0 ({len(sounds)} clips)",)
    assert {sound.kind for sound in sounds} == {"cat", "drums", "siren", "traffic"}
    assert len(sounds) < 32
    assert {sound.uncertain for sound in sounds if sound.kind == "drums"} == {frozenset({MUSIC})}
    assert {sound.clip.class_id for sound in sounds if sound.kind == "siren"} == {SIREN}
    assert {sound.kind for sound in sounds if sound.background} == {"traffic"}


def test_negatives_of_held_out_kinds_are_not_used_for_training() -> None:
    clips = [Clip(Path(f"esc10/{name}/1-1-A.ogg"), 0, None, "1") for name in ("Clock_tick", "Rain")]
    assert without_held_out_kinds(clips) == (clips[1],)
    assert negative_sounds(clips)[1].kind == "rain"


def test_a_run_on_street_mixes_resumes_to_the_last_bit_and_leaves_a_plain_network(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, everyday: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    street = msgspec.structs.replace(STREET, negative_mixes=20)
    recipe = msgspec.structs.replace(tiny_recipe, teaching=TEACHING, street=street)
    split = split_by_folds(tiny_data, (1, 3), (2,))
    sounds = read_street_sounds(everyday, LABELS)
    whole, cut = (
        RunSetup(recipe, split, (), (), (), tmp_path / name, torch.device("cpu"), None, LevelTeacher(), everyday=sounds)
        for name in ("whole", "cut")
    )
    run_silently(whole)
    run_until_cut_off(cut, monkeypatch)
    run_silently(cut, resume=True)
    one, other = (read_checkpoint(run.out / FILE_NAME) for run in (whole, cut))
    assert one.hint
    assert any("groups" in name for name in one.hint)
    assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)
    assert all(torch.equal(one.hint[name], (other.hint or {})[name]) for name in one.hint)
    network, contract = load_network(whole.out / FILE_NAME)
    assert network[-1].out_features == len(LABELS)
    assert f"{len(sounds.sounds)} other sounds" in contract.provenance.data
    assert contract.provenance.sources == sounds.sources


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [("urban-street", (), "give a folder of everyday sounds"), ("urban", ("--sounds", "x"), "no street section")],
)
def test_everyday_sounds_too_few_or_too_many_are_refused(
    tiny_data: Path, recipe: str, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(
            train_command, ["--data", str(tiny_data), "--recipe", recipe, *options], catch_exceptions=False
        )


def test_street_mixes_need_a_teacher(tiny_recipe: Recipe) -> None:
    with pytest.raises(ConfigError, match="goes with a teaching section"):
        msgspec.structs.replace(tiny_recipe, street=STREET).__post_init__()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"negative_mixes": -1}, "street.negative_mixes is -1; it must be 0 or more"),
        ({"second_probability": 1.5}, "street.second_probability is 1.5; it must lie in 0 to 1"),
        ({"rare_factor": 0.5}, "street.rare_factor is 0.5; it must be 1 or more"),
        ({"snr_db": (25.0, 0.0)}, "it must rise, the lowest first"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        msgspec.structs.replace(STREET, **changed).__post_init__()
