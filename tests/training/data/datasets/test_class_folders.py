"""Class folders: recordings, held-out recordings, and invalid data sets."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError, DataError
from soundwatch.export.exporter import export_checkpoint
from soundwatch.training.cli.evaluate import evaluate
from soundwatch.training.cli.train import train
from soundwatch.training.data.datasets.class_folders import (
    far_off_shares,
    hold_out,
    list_folders,
    recording_of,
    split_folders,
)
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.batches import daemon_windows
from soundwatch.training.data.windows.window_plan import count_batches, plan_epoch
from soundwatch.training.fit.scores.scoring import read_run
from soundwatch.training.model.checkpoint import FILE_NAME, load_network
from soundwatch.training.model.recipe import Recipe
from support.labeled_folder import CLASSES, write_classes, write_sound


def _cli(command: object, *arguments: object) -> str:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)  # type: ignore[arg-type]
    assert result.exit_code == 0, result.output
    return result.stdout


def _train_one_epoch(data: Path, recipe: Path, out: Path) -> Result:
    options = ["--layout", "folders", "--recipe", recipe, "--epochs", 1, "--out", out]
    return CliRunner().invoke(train, ["--data", str(data), *map(str, options)], catch_exceptions=False)


def test_classes_are_the_folders_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_classes(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "bell" / ".DS_Store").write_text("")
    (tmp_path / "bell" / "notes.txt").write_text("at the front door")
    labels, clips, ignored = list_folders(tmp_path)
    assert labels == CLASSES
    assert len(clips) == 30
    assert [path.name for path in ignored] == ["notes.txt"]


@pytest.mark.parametrize(
    ("path", "recording"),
    [("a.wav", "a"), ("123-4-0.wav", "123"), ("kitchen/a.wav", "kitchen"), ("kitchen/take 2/b-1.wav", "kitchen")],
)
def test_a_recording_is_a_name_up_to_its_dash_or_a_folder(path: str, recording: str) -> None:
    assert recording_of(Path("sounds/dog") / path, Path("sounds/dog")) == recording


def test_recordings_are_on_one_side_and_classes_on_both(tmp_path: Path, tiny_recipe: Recipe) -> None:
    write_classes(tmp_path)
    split = split_folders(tmp_path, tiny_recipe.features, 0.2)
    learned, scored = ({(clip.class_id, clip.recording) for clip in side} for side in (split.train, split.test))
    assert not {name for _, name in learned} & {name for _, name in scored}
    assert {class_id for class_id, _ in learned} == {class_id for class_id, _ in scored} == {0, 1, 2}
    assert (len(learned), len(scored)) == (12, 3)
    assert split == split_folders(tmp_path, tiny_recipe.features, 0.2)


@pytest.mark.slow
@given(
    st.lists(
        st.sets(st.integers(0, 8), min_size=2).map(lambda names: {str(name) for name in names}), min_size=1, max_size=4
    ),
    st.floats(0.05, 0.95),
)
def test_shared_recordings_are_held_out_from_all_classes_or_none(classes: list[set[str]], share: float) -> None:
    labels = tuple(f"class {number}" for number in range(len(classes)))
    clips = tuple(Clip(Path(name), 0, k, name) for k, names in enumerate(classes) for name in sorted(names))
    try:
        held_out = hold_out(labels, clips, share)
    except DataError:
        return  # said, and not guessed
    assert all(names & held_out and names - held_out for names in classes)


@pytest.mark.parametrize(
    ("sizes", "held"),
    [((14, 2), 2), ((2, 14), 2), ((8, 8), 8), ((5, 5, 5, 1), 5), ((1,) * 16, 3), ((3, 3, 3, 3, 4), 3), ((1, 1), 1)],
)
def test_a_share_for_testing_counts_clips(sizes: tuple[int, ...], held: int) -> None:
    """Sixteen files of two days are two recordings; the day with two files is tested on."""
    clips = tuple(
        Clip(Path(f"dog/{2020 + day}-{number}.wav"), 0, 0, str(2020 + day))
        for day, count in enumerate(sizes)
        for number in range(count)
    )
    held_out = hold_out(("dog",), clips, 0.2)
    count = sum(clip.recording in held_out for clip in clips)
    assert abs(count - held) <= (sizes == (5, 5, 5, 1)) * 4
    sentences = far_off_shares(("dog",), clips, held_out, 0.2)
    assert bool(sentences) == (sizes == (8, 8))
    assert not sentences or sentences[0].startswith("dog: 8 of 16 clips are held out instead of 3")


@pytest.mark.parametrize("name", ["Türklingel", "घंटी", "звонок", "ドアベル", "_private", "dog bark.2"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_class_may_be_named_in_any_script_and_form_of_unicode(
    tmp_path: Path, name: str, form: Literal["NFC", "NFD"]
) -> None:
    write_sound(tmp_path / unicodedata.normalize(form, name) / "a-1.wav")
    labels, clips, _ = list_folders(tmp_path)
    assert labels == (unicodedata.normalize("NFC", name),)
    assert len(clips) == 1


def test_two_forms_of_one_name_are_one_class_too_many(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        write_sound(tmp_path / unicodedata.normalize(form, "Türklingel") / "a-1.wav")
    with pytest.raises(DataError, match=r"2 folders in .* are named Türklingel"):
        list_folders(tmp_path)


def test_a_class_may_lie_behind_a_link(tmp_path: Path) -> None:
    write_sound(tmp_path / "elsewhere" / "a.WAV")
    (tmp_path / "sounds" / "bell").mkdir(parents=True)
    (tmp_path / "sounds" / "bell" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "sounds" / "dog").symlink_to(tmp_path / "elsewhere")
    labels, clips, _ = list_folders(tmp_path / "sounds")
    assert labels == ("bell", "dog")
    assert [clip.path.relative_to(tmp_path / "sounds").as_posix() for clip in clips] == ["bell/more/a.WAV", "dog/a.WAV"]


def test_a_class_of_one_recording_cannot_be_learned_and_scored(tmp_path: Path, tiny_recipe: Recipe) -> None:
    write_classes(tmp_path)
    for part in range(4):
        write_sound(tmp_path / "whistle" / f"one-{part}.wav")
    with pytest.raises(DataError, match=r"The class whistle has 1 recording; at least 2 .* first dash.*--test-share 0"):
        split_folders(tmp_path, tiny_recipe.features, 0.2)
    assert split_folders(tmp_path, tiny_recipe.features, 0).test == ()
    assert split_folders(tmp_path, tiny_recipe.features, 1).train == ()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.exists, "No folder .*; a folder that holds a folder of recordings"),
        (Path.mkdir, "holds no folders; one for each class"),
        (lambda root: (root / "dog").mkdir(parents=True), "dog holds no recording that can be read"),
        (lambda root: (root / "dog+cat").mkdir(parents=True), r"'dog\+cat' cannot name a class"),
        (lambda root: write_sound(root / "dog" / "a.wav").write_bytes(b"?"), r"a\.wav is not a recording.*data check"),
    ],
)
def test_a_folder_without_classes_is_refused(
    tmp_path: Path, tiny_recipe: Recipe, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "sounds")
    with pytest.raises(DataError, match=message):
        split_folders(tmp_path / "sounds", tiny_recipe.features, 0)


def test_a_long_recording_gives_as_many_windows_as_fit_and_a_minutes_at_most(
    tmp_path: Path, tiny_recipe: Recipe
) -> None:
    for name, duration_s in (("short", 0.2), ("whole", 0.5), ("long", 2.3), ("hour", 65.0)):
        write_sound(tmp_path / "dog" / f"{name}.wav", duration_s=duration_s)
    clips = split_folders(tmp_path, tiny_recipe.features, 0).train
    assert {clip.path.stem: clip.windows for clip in clips} == {"short": 1, "whole": 1, "long": 4, "hour": 120}
    lengths = np.array([1600, 4000, 18_400, 520_000], np.int64)
    epoch = plan_epoch(clips, lengths, tiny_recipe, np.random.default_rng(1))
    assert len(epoch) == count_batches(clips, tiny_recipe)
    assert sum(len(plan.rows) for plan in epoch) == 126 + 13  # and a tenth that is none of the classes


def test_a_recording_is_scored_by_the_daemons_windows(tiny_recipe: Recipe) -> None:
    spec = tiny_recipe.features
    sound = np.arange(4000 + 2 * 1024 + 5, dtype=np.float32)[None]
    assert [window[0, 0] for window in daemon_windows(sound, spec)] == [0, 1024, 2048]
    assert [window.shape for window in daemon_windows(sound[:, :100], spec)] == [(1, 4000)]


@pytest.mark.slow
def test_own_sounds_from_folder_to_score(tmp_path: Path, tiny_recipe_file: Path) -> None:
    data = write_classes(tmp_path / "sounds")
    write_sound(data / "bell" / "long.flac", 400.0, 3.0)
    write_sound(data / "door" / "long too.wav", 1300.0, 2.0)
    common = ["--data", data, "--layout", "folders", "--test-share", 0.4]
    printed = _cli(train, *common, "--recipe", tiny_recipe_file, "--out", tmp_path / "run")
    assert "held-out files of sounds: accuracy" in printed
    contract = load_network(tmp_path / "run" / FILE_NAME)[1]
    assert contract.labels == CLASSES
    assert contract.provenance.folds == ()
    assert re.search(r"files of sounds and \d+ other sounds$", contract.provenance.data)
    assert contract.name == "run"
    assert contract.provenance.licence.startswith("weights from recordings of your own")
    assert set(contract.scores[0].recall) == set(CLASSES)
    held_out = read_run(tmp_path / "run").held_out
    assert all("/" in clip.clip for clip in held_out if clip.class_id is not None)
    assert any(clip.class_id is None for clip in held_out), "synthetic sounds are held out too"
    assert "synthetic sounds raise an event" in printed

    (model, _), _ = export_checkpoint(
        tmp_path / "run" / FILE_NAME, ["onnx"], tmp_path, None, Console(file=io.StringIO())
    )
    page = _cli(evaluate, model, *common)
    assert f"{contract.scores[0].clips} clips: accuracy {contract.scores[0].accuracy:.3f}" in page
    assert "on sounds" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layout", "folders", "--test-folds", "1"], "has no official folds"),
        (["--layout", "folders", "--leaky-split"], "has no official folds"),
        (["--test-share", "0.2"], "--test-share is for --layout folders"),
    ],
)
def test_options_of_the_other_layout_are_refused(tmp_path: Path, options: list[str], message: str) -> None:
    data = write_classes(tmp_path / "sounds")
    with pytest.raises(ConfigError, match=message):
        _cli(train, "--data", data, *options)


@pytest.mark.slow
def test_a_single_class_is_learned_against_synthetic_sounds(tmp_path: Path, tiny_recipe_file: Path) -> None:
    data = write_classes(tmp_path / "sounds", classes=("bell",))
    result = _train_one_epoch(data, tiny_recipe_file, tmp_path / "r")
    assert "Open set: not measured on real sounds" in result.stdout
    assert "soundwatch run --model models/r.onnx" in result.stderr
    assert (tmp_path / "r" / "open-set.json").is_file()
    assert load_network(tmp_path / "r" / "checkpoint.pt")[1].name == "r"


def test_a_class_without_training_clips_is_reported(tmp_path: Path, tiny_data: Path, tiny_recipe_file: Path) -> None:
    (tiny_data / "audio" / "fold1" / "106-6-0-0.wav").unlink()
    with pytest.raises(DataError, match="There is no clip to learn gun_shot from"):
        _cli(train, "--data", tiny_data, "--recipe", tiny_recipe_file, "--train-folds", 1, "--out", tmp_path / "run")


@pytest.mark.slow
def test_any_channels_and_rates_train_together(tmp_path: Path, tiny_recipe_file: Path) -> None:
    data = write_classes(tmp_path / "sounds")
    rng = np.random.default_rng(0)
    for rate_hz, channels in ((48000, 2), (44100, 6), (16000, 1)):
        soundfile.write(data / "bell" / f"{rate_hz}.flac", rng.normal(0, 0.1, (rate_hz, channels)), rate_hz)
    assert _train_one_epoch(data, tiny_recipe_file, tmp_path / "r").exit_code == 0
