"""A finished run gets thresholds from streets that the runs of its recipe have not learned from."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from soundwatch.daemon.core.errors import DataError
from soundwatch.training.cli.train import train
from soundwatch.training.data.datasets.everyday_sounds import read_everyday_sounds
from soundwatch.training.evaluation.thresholds import street as street_thresholds
from soundwatch.training.evaluation.thresholds.checkpoint import choose_for_run
from soundwatch.training.model.checkpoint import FILE_NAME, load_network
from support.everyday_folder import write_everyday_folder

SILENT = Console(file=io.StringIO())


def test_thresholds_are_chosen_on_the_runs_that_hold_folds_back(
    tmp_path: Path, tiny_data: Path, tiny_recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(street_thresholds, "MINUTES", 2.0)
    monkeypatch.setattr(street_thresholds, "ROLES", ("train", "validation"))
    monkeypatch.setattr("soundwatch.training.evaluation.thresholds.checkpoint.ROLES", ("train", "validation"))
    sounds = read_everyday_sounds(write_everyday_folder(tmp_path / "sounds", recordings=30))
    reports = []
    for name, folds in (("a", ["--train-folds", "2,3", "--test-folds", "1"]), ("ship", [])):
        words = ["--data", str(tiny_data), "--recipe", str(tiny_recipe_file), "--epochs", "1", *folds]
        result = CliRunner().invoke(train, [*words, "--out", str(tmp_path / name)], catch_exceptions=False)
        reports.append(result.stdout)
    assert "Chosen on: UrbanSound8K fold 1" in reports[0]
    assert set(load_network(tmp_path / "a" / FILE_NAME)[1].thresholds.values()) != {0.5}
    assert "Chosen on: nothing, since no clip was held out" in reports[1]
    assert all("Open set: not measured on real sounds (0 recordings" in report for report in reports)
    before = load_network(tmp_path / "ship" / FILE_NAME)[1]
    chosen = choose_for_run(tmp_path / "ship", [tmp_path / "a"], tiny_data, sounds, SILENT)
    after = load_network(tmp_path / "ship" / FILE_NAME)[1]
    assert after.weights_sha256 == before.weights_sha256
    assert after.thresholds == chosen
    assert after.operation is not None
    assert after.operation.price == 0.01
    assert "targets of UrbanSound8K fold 1" in after.operation.measured_on
    with pytest.raises(DataError, match="has learned from all of the folds"):
        choose_for_run(tmp_path / "a", [tmp_path / "ship"], tiny_data, sounds, SILENT)
