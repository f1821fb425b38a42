"""Leave one fold out, on a data set of tones."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from rich.console import Console

from soundwatch.daemon.errors import ConfigError
from soundwatch.training.cli import crossval
from soundwatch.training.crossval import cross_validate
from soundwatch.training.crossval_report import CrossValidation, calibration_bins
from soundwatch.training.data import read_metadata
from soundwatch.training.recipe import Recipe

CPU = torch.device("cpu")
QUIET = Console(quiet=True)


def test_every_fold_is_scored_by_a_network_that_learned_from_the_others(
    tiny_data: Path, tiny_recipe_file: Path
) -> None:
    out = tiny_data.parent / "cv"
    done = CliRunner().invoke(
        crossval, ["--data", str(tiny_data), "--recipe", str(tiny_recipe_file), "--out", str(out), "--device", "cpu"]
    )
    assert done.exit_code == 0, done.output
    report = msgspec.json.decode((out / "crossval.json").read_bytes(), type=CrossValidation)
    assert [fold.fold for fold in report.folds] == [1, 2, 3]
    clips = [clip for clip in read_metadata(tiny_data) if clip.path.exists()]
    assert sum(map(sum, report.confusion)) == sum(each.clips for each in report.calibration) == len(clips)
    assert report.accuracy.mean == pytest.approx(np.mean([fold.accuracy for fold in report.folds]), abs=1e-4)
    assert report.accuracy.lowest <= report.accuracy.mean <= report.accuracy.highest
    for picture in ("confusion.png", "calibration.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    assert (out / "crossval.md").read_text() in done.output


def test_a_protocol_that_was_cut_off_goes_on_and_trains_nothing_twice(tiny_data: Path, tiny_recipe: Recipe) -> None:
    out = tiny_data.parent / "cv"
    first = cross_validate(tiny_data, tiny_recipe, (1,), ((), ()), out, CPU, QUIET)
    before = (out / "fold1" / "checkpoint.pt").stat().st_mtime_ns
    both = cross_validate(tiny_data, tiny_recipe, (1, 2), ((), ()), out, CPU, QUIET)
    assert (out / "fold1" / "checkpoint.pt").stat().st_mtime_ns == before
    assert both.folds[0] == first.folds[0]
    other = msgspec.structs.replace(tiny_recipe, seed=6)
    with pytest.raises(ConfigError, match="finished run of other data or of another recipe"):
        cross_validate(tiny_data, other, (1,), ((), ()), out, CPU, QUIET)


def test_calibration_counts_each_clip_in_the_tenth_of_its_highest_score() -> None:
    scores = np.array([[0.95, 0.1], [0.91, 0.2], [0.1, 0.55], [1.0, 0.0]], np.float32)
    bins = calibration_bins(scores, np.array([0, 1, 1, 0]))
    assert [each.clips for each in bins] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    assert bins[9].right == pytest.approx(2 / 3, abs=1e-4)
    assert bins[9].mean_score == pytest.approx((0.95 + 0.91 + 1) / 3, abs=1e-4)
    assert bins[0].right is None


def test_a_single_fold_cannot_be_left_out(tiny_data: Path, tiny_recipe: Recipe) -> None:
    import shutil

    for fold in (2, 3):
        shutil.rmtree(tiny_data / "audio" / f"fold{fold}")
    with pytest.raises(ConfigError, match=r"holds only fold 1; cross-validation needs at least two"):
        cross_validate(tiny_data, tiny_recipe, None, ((), ()), tiny_data.parent / "cv", CPU, QUIET)
