"""What happens to long trainings: killed in the middle, a full disk, a loss that is no number. Nothing is lost."""

from __future__ import annotations

import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from rich.console import Console

from soundwatch.daemon.cli import main
from soundwatch.daemon.core.errors import ConfigError, DataError, SinkError
from soundwatch.training.data.datasets.class_folders import split_folders
from soundwatch.training.data.datasets.urbansound8k import read_metadata
from soundwatch.training.fit.epochs.loop import Run
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.scores.scoring import read_run
from soundwatch.training.fit.setup.run_setup import RunSetup
from soundwatch.training.model.checkpoint import FILE_NAME, load_network, read_checkpoint
from soundwatch.training.model.recipe import Recipe
from support.labeled_folder import write_classes
from support.tiny_run import setup_on_folds

PROGRAM = [sys.executable, "-m", "soundwatch.training", "train"]
SILENT = Console(file=io.StringIO())


def _environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def test_a_run_killed_in_the_middle_and_resumed_ends_with_the_same_weights(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, tiny_recipe_file: Path
) -> None:
    recipe = msgspec.structs.replace(tiny_recipe, epochs=8)
    whole, killed = (setup_on_folds(tiny_data, recipe, tmp_path / name) for name in ("whole", "killed"))
    words = ["--data", tiny_data, "--recipe", tiny_recipe_file, "--epochs", 8, "--out", killed.out]
    command = [*PROGRAM, *map(str, words), "--train-folds", "1,3", "--test-folds", "2"]
    with subprocess.Popen(command, env=_environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        while process.poll() is None and not (killed.out / "log.csv").exists():
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 1 <= read_checkpoint(killed.out / FILE_NAME).epoch < 8
    run_session(killed, True, SILENT)
    run_session(whole, False, SILENT)
    one, other = (read_checkpoint(session.out / FILE_NAME) for session in (whole, killed))
    assert one.contract == other.contract
    assert one.ema is not None
    assert other.ema is not None
    assert all(torch.equal(one.ema[name], other.ema[name]) for name in one.ema)
    assert [row["train_loss"] for row in one.history] == [row["train_loss"] for row in other.history]
    assert read_run(whole.out).held_out == read_run(killed.out).held_out


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="this system cannot limit a file's size")
def test_a_disk_that_is_full_at_the_first_checkpoint_is_reported(
    tmp_path: Path,
    tiny_data: Path,
    tiny_recipe: Recipe,
    tiny_recipe_file: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    session = setup_on_folds(tiny_data, msgspec.structs.replace(tiny_recipe, epochs=1), tmp_path / "run")
    run_session(session, False, SILENT)  # fills the cache
    shutil.rmtree(session.out)
    words = ["--data", tiny_data, "--recipe", tiny_recipe_file, "--train-folds", "1,3", "--out", session.out]
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:  # Python ignores SIGXFSZ: a larger file is an OSError
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, usual[1]))
        with pytest.raises(SystemExit) as stopped:
            main(["train", *map(str, words)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    written = capfd.readouterr().err
    assert stopped.value.code == SinkError.exit_code, written
    assert "Traceback" not in written
    assert f"The run cannot be written to {session.out}" in " ".join(written.split())
    assert not list(session.out.glob("*.part"))


def test_a_disk_that_fills_later_leaves_the_checkpoint_before(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = setup_on_folds(tiny_data, tiny_recipe, tmp_path / "run")

    def full(descriptor: int) -> None:
        if session.out in Path(f"/proc/self/fd/{descriptor}").readlink().parents:  # and not in the cache of clips
            saves.append(descriptor)
        if len(saves) == 4:  # epoch 1: checkpoint and log; epoch 2: this checkpoint's second file
            raise OSError(28, "No space left on device")

    saves: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr("soundwatch.daemon.core.files.atomic_file.os.fsync", full)
        with pytest.raises(SinkError, match=r"No space left on device.* earlier saves are intact, and --resume"):
            run_session(session, False, SILENT)
    assert read_checkpoint(session.out / FILE_NAME).epoch == 2
    assert not list(session.out.glob("*.part"))
    assert run_session(session, True, SILENT).epochs == 3


def test_a_record_that_cannot_be_written_leaves_a_run_that_can_be_finished(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe
) -> None:
    session = setup_on_folds(tiny_data, msgspec.structs.replace(tiny_recipe, epochs=1), tmp_path / "run")
    (session.out / "run.json").mkdir(parents=True)
    with pytest.raises(SinkError, match="The run cannot be written to"):
        run_session(session, False, SILENT)
    (session.out / "run.json").rmdir()
    with pytest.raises(DataError, match="No finished run"):
        read_run(session.out)
    run_session(session, True, SILENT)
    assert read_run(session.out).epochs == 1


def test_a_loss_that_is_no_number_later_on_keeps_the_epoch_before(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = setup_on_folds(tiny_data, tiny_recipe, tmp_path / "run")

    def spoil(run: Run, *rest: object) -> None:
        if run.epoch == 1:
            next(run.network.parameters()).data.fill_(torch.nan)

    written = run_session.__globals__["_save"]

    def save(run: Run, *rest: object) -> None:
        written(run, *rest)
        spoil(run)

    with monkeypatch.context() as patch:
        patch.setattr("soundwatch.training.fit.runs.run._save", save)
        with pytest.raises(ConfigError, match=r"The loss is nan at step 1 of epoch 2, after nothing"):
            run_session(session, False, SILENT)
    kept = load_network(session.out / FILE_NAME)[0].state_dict()
    assert all(torch.isfinite(value).all() for value in kept.values())
    assert read_checkpoint(session.out / FILE_NAME).epoch == 1


def test_a_recording_that_vanishes_while_training_is_named(
    tmp_path: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_classes(tmp_path / "sounds")
    session = replace(_session_of(data, tiny_recipe, tmp_path / "run"))
    lost = session.split.train[0].path

    def vanish(path: Path, history: list[object]) -> None:
        lost.unlink(missing_ok=True)

    monkeypatch.setattr("soundwatch.training.fit.runs.run.write_log", vanish)
    with pytest.raises(DataError, match=rf"{lost.name} cannot be read any more: No such file"):
        run_session(session, False, SILENT)
    assert read_checkpoint(session.out / FILE_NAME).epoch == 1


def _session_of(data: Path, recipe: Recipe, out: Path) -> RunSetup:
    return RunSetup(recipe, split_folders(data, recipe.features, 0.2), (), (), (), out, torch.device("cpu"))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00s\x00l\x00i\x00c\x00e", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_metadata_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "UrbanSound8K.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"UrbanSound8K\.csv (is not in UTF-8|does not read|has the columns)"):
        read_metadata(tmp_path)


def test_a_clip_that_is_no_sound_stops_the_run_before_it_starts(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe
) -> None:
    (tiny_data / "audio" / "fold1" / "103-3-0-0.wav").write_bytes(np.random.default_rng(0).bytes(400))
    session = setup_on_folds(tiny_data, tiny_recipe, tmp_path / "run")
    with pytest.raises(DataError, match=r"103-3-0-0\.wav .* `soundwatch data check` lists all"):
        run_session(session, False, SILENT)
    assert not session.out.exists()
