"""Own sounds without recordings of other sounds: a head fitted on the shipped ones, thresholds, and the open set."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.inference.classifier import load_classifier_file, resolve_model
from soundwatch.training.cli.fitting import choose_other_sounds
from soundwatch.training.cli.train import train
from soundwatch.training.data.datasets.other_sounds import read_other_sounds
from soundwatch.training.evaluation.thresholds.own_sounds import OwnSoundsReport, describe_report
from soundwatch.training.model.checkpoint import FILE_NAME, load_network
from soundwatch.training.model.recipe_file import load_recipe
from support.labeled_folder import write_classes, write_sound

KEPT = ("rain", "wind", "dishwasher", "clock_tick", "sneezing")


def _kinds_to_leave_out() -> list[str]:
    """All shipped kinds but a few, so that the fits take a second."""
    others = read_other_sounds(load_classifier_file(resolve_model("urban"), "cpu").contract.weights_sha256)
    assert others
    return [word for kind in others.kinds if kind not in KEPT for word in ("--leave-out", kind)]


@pytest.mark.slow
def test_a_folder_of_own_sounds_alone_gives_a_model_with_thresholds_and_an_open_set_line(tmp_path: Path) -> None:
    data, out = write_classes(tmp_path / "sounds", 4, classes=("bell", "kettle")), tmp_path / "mine"
    for part in (1, 2):
        write_sound(data / "gong" / f"gong0-{part}.wav", 3000.0)
    words = ["--data", str(data), "--layout", "folders", "--init-from", "urban", "--test-share", "0"]
    result = CliRunner().invoke(train, [*words, *_kinds_to_leave_out(), "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "recordings of other sounds raise an event" in result.output
    assert "training clips: accuracy" in result.output
    report = msgspec.json.decode((out / "open-set.json").read_bytes())
    assert report["shipped"] > 20
    assert report["clips"] == 16
    assert report["found"] >= 14
    assert report["not_measured"] == ["gong"], "no head learned the class without its only recording"
    assert "Not measured: gong (no clip was held out; a class needs two recordings)" in result.output
    _, contract = load_network(out / FILE_NAME)
    assert contract.labels == ("bell", "gong", "kettle")
    assert contract.name == "mine"
    assert contract.provenance.recipe == "own-sounds"
    assert contract.thresholds == report["thresholds"]


def test_a_report_names_no_class_as_not_measured_where_all_are() -> None:
    report = OwnSoundsReport(
        thresholds={"bell": 0.5},
        clips=8,
        found=7,
        held_out=True,
        recordings=0,
        raised=0,
        synthetic=5,
        synthetic_raised=0,
    )
    lines = describe_report(report)
    assert "Found: 7 of 8 held-out clips raise an event of their class" in lines
    assert not [line for line in lines if line.startswith("Not measured")]
    lines = describe_report(msgspec.structs.replace(report, clips=0, found=0, not_measured=("bell",)))
    assert "Not measured: bell (no clip was held out; a class needs two recordings)" in lines
    assert not [line for line in lines if line.startswith("Found")], "no share of no clips"


def test_a_kind_to_leave_out_is_refused_where_the_head_is_trained() -> None:
    with pytest.raises(ConfigError, match="--leave-out, and recipe finetune does not learn"):
        choose_other_sounds(load_recipe("finetune"), None, ("bell",), ("rain",), Console(file=io.StringIO()))


def test_a_head_is_fitted_on_no_network_that_other_sounds_do_not_ship_for() -> None:
    with pytest.raises(ConfigError, match="none ship with this one; use --init-from urban"):
        choose_other_sounds(load_recipe("own-sounds"), None, ("bell",), (), Console(file=io.StringIO()))
