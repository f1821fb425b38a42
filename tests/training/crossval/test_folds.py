"""Leave one fold out, on a data set of tones."""

from __future__ import annotations

import importlib.util
import io
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.cli.crossval import crossval
from soundwatch.training.crossval.folds import FoldInputs, cross_validate, run_sequentially
from soundwatch.training.crossval.report import CrossValidation, across_seeds, calibration_bins
from soundwatch.training.data.datasets.urbansound8k import read_metadata
from soundwatch.training.model.recipe import Recipe

HERE = run_sequentially(Console(quiet=True))


def test_every_fold_is_scored_by_a_network_trained_on_the_others(tiny_data: Path, tiny_recipe_file: Path) -> None:
    out = tiny_data.parent / "cv"
    done = CliRunner().invoke(
        crossval,
        [
            "--data",
            str(tiny_data),
            "--recipe",
            str(tiny_recipe_file),
            "--out",
            str(out),
            "--device",
            "cpu",
            "--precision",
            "float32",
        ],
    )
    assert done.exit_code == 0, done.output
    report = msgspec.json.decode((out / "crossval.json").read_bytes(), type=CrossValidation)
    assert [fold.fold for fold in report.folds] == [1, 2, 3]
    clips = [clip for clip in read_metadata(tiny_data) if clip.path.exists()]
    assert sum(map(sum, report.confusion)) == sum(item.clips for item in report.calibration) == len(clips)
    assert report.accuracy.mean == pytest.approx(np.mean([fold.accuracy for fold in report.folds]), abs=1e-4)
    assert report.accuracy.lowest <= report.accuracy.mean <= report.accuracy.highest
    for picture in ("confusion.png", "calibration.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    assert (out / "crossval.md").read_text() in done.output


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("epoch 2/2", "Stopped after epoch 2 of 2; the same command continues it."),
        (
            "network:",
            "Stopped before the end of the first epoch, so nothing was stored; the same command starts again.",
        ),
    ],
)
def test_a_stopped_fold_names_the_command_that_goes_on(
    tiny_data: Path, tiny_recipe: Recipe, at: str, message: str
) -> None:
    class Interrupted(Console):
        def print(self, *objects: object, **_how: object) -> None:
            text = " ".join(map(str, objects))
            if at in text:
                raise KeyboardInterrupt
            said.append(text)

    said = [""]
    recipe = msgspec.structs.replace(tiny_recipe, epochs=2)
    trainer = run_sequentially(Interrupted(file=io.StringIO()))
    with pytest.raises(KeyboardInterrupt):
        cross_validate(FoldInputs(tiny_data, device="cpu"), recipe, (1,), tiny_data.parent / "cv", trainer)
    assert said[-1].startswith(message)


def test_an_interrupted_protocol_resumes_without_repeated_training(tiny_data: Path, tiny_recipe: Recipe) -> None:
    out = tiny_data.parent / "cv"
    (first,) = cross_validate(FoldInputs(tiny_data, device="cpu"), tiny_recipe, (1,), out, HERE)
    before = (out / "fold1" / "checkpoint.pt").stat().st_mtime_ns
    (both,) = cross_validate(FoldInputs(tiny_data, device="cpu"), tiny_recipe, (1, 2), out, HERE)
    assert (out / "fold1" / "checkpoint.pt").stat().st_mtime_ns == before
    assert both.folds[0] == first.folds[0]
    other = msgspec.structs.replace(tiny_recipe, seed=6)
    with pytest.raises(ConfigError, match="finished run of other data or of another recipe"):
        cross_validate(FoldInputs(tiny_data, device="cpu"), other, (1,), out, HERE)


def test_calibration_counts_each_clip_in_the_tenth_of_its_highest_score() -> None:
    scores = np.array([[0.95, 0.1], [0.91, 0.2], [0.1, 0.55], [1.0, 0.0]], np.float32)
    bins = calibration_bins(scores, np.array([0, 1, 1, 0]))
    assert [item.clips for item in bins] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    assert bins[9].right == pytest.approx(2 / 3, abs=1e-4)
    assert bins[9].mean_score == pytest.approx((0.95 + 0.91 + 1) / 3, abs=1e-4)
    assert bins[0].right is None


def test_a_single_fold_cannot_be_left_out(tiny_data: Path, tiny_recipe: Recipe) -> None:
    import shutil

    for fold in (2, 3):
        shutil.rmtree(tiny_data / "audio" / f"fold{fold}")
    with pytest.raises(ConfigError, match=r"holds only fold 1; cross-validation needs at least two"):
        cross_validate(FoldInputs(tiny_data, device="cpu"), tiny_recipe, None, tiny_data.parent / "cv", HERE)


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_folds_and_seeds_on_a_ray_cluster_give_the_results_of_one_process(tiny_data: Path, tiny_recipe: Recipe) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install '.[ray]'")
    from soundwatch.training.crossval.ray_runs import run_on_ray

    recipe, out = msgspec.structs.replace(tiny_recipe, epochs=1), tiny_data.parent
    there = cross_validate(
        FoldInputs(tiny_data, device="cpu"), recipe, (1, 2), out / "ray", run_on_ray(None, Console(quiet=True)), (5, 6)
    )
    here = cross_validate(FoldInputs(tiny_data, device="cpu"), recipe, (1, 2), out / "here", HERE, seeds=(5, 6))
    assert [report.seed for report in there] == [5, 6]
    for one, other in zip(there, here, strict=True):
        assert [fold.accuracy for fold in one.folds] == [fold.accuracy for fold in other.folds]
        assert one.confusion == other.confusion
    assert (out / "ray" / "seed6" / "fold2" / "checkpoint.pt").exists()
    assert across_seeds(there).startswith("Mean accuracy over 2 seeds: ")


def test_ray_leaves_the_handler_of_sigterm_as_it_is() -> None:
    """Ray's own ends the program with stack traces and exit code 1."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install '.[ray]'")
    from soundwatch.daemon.scan.ray_pool import connect

    before = signal.getsignal(signal.SIGTERM)
    ray = connect(None, cores=1)
    try:
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


def test_a_gpu_is_requested_only_if_there_is_one() -> None:
    from soundwatch.training.crossval.ray_runs import _gpus_per_run

    asked = {("auto", 0): 0, ("auto", 4): 1, ("cpu", 4): 0, ("cuda", 1): 1}
    assert {(device, cards): _gpus_per_run(device, cards) for device, cards in asked} == asked
    with pytest.raises(ConfigError, match="the Ray cluster has no GPU"):
        _gpus_per_run("cuda", 0)
