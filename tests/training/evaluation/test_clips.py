"""A model scored through the daemon's path gets the scores that its training run gave it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from rich.console import Console

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.core.errors import ConfigError, ContractError, DataError, SinkError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.pipeline.scoring import score_source
from soundwatch.training.cli.evaluate import evaluate as evaluate_command
from soundwatch.training.data.datasets.labeled_clips import labeled_clips
from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from soundwatch.training.evaluation.clips import evaluate_model, to_markdown, write_evaluation
from soundwatch.training.evaluation.detection.score_track import Track, stored_track
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.scores.scoring import read_run
from soundwatch.training.fit.setup.run_setup import RunSetup
from soundwatch.training.model.checkpoint import FILE_NAME, load_network
from soundwatch.training.model.recipe import Recipe
from support.model_files import write_onnx

SILENT = Console(file=io.StringIO())


class _TorchClassifier:
    """A checkpoint's network behind the daemon's protocol."""

    provider = "torch"

    def __init__(self, checkpoint: Path) -> None:
        self.network, self.contract = load_network(checkpoint)

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            scores: NDArray[np.float32] = self.network(torch.from_numpy(mel_db.copy())).sigmoid().numpy()
        return scores


@pytest.fixture
def trained(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> Path:
    out = tmp_path / "run"
    split = split_by_folds(tiny_data, (1, 3), (2,))
    run_session(RunSetup(tiny_recipe, split, (), (), (), out, torch.device("cpu")), False, SILENT)
    return out


def test_the_daemons_path_gives_the_runs_own_scores(trained: Path, tiny_data: Path) -> None:
    classifier = _TorchClassifier(trained / FILE_NAME)
    for scored in read_run(trained).held_out:
        recording = Recording("clip", tiny_data / "audio" / "fold2" / scored.clip, "fast", 0)
        values = score_source(recording, classifier)
        np.testing.assert_allclose(list(values.values()), scored.values, atol=1e-3)


def test_an_evaluation_gives_the_figures_of_the_run(trained: Path, tiny_data: Path, tmp_path: Path) -> None:
    classifier = _TorchClassifier(trained / FILE_NAME)
    evaluation = evaluate_model(classifier, labeled_clips(split_by_folds(tiny_data, (2,), ())), SILENT)
    score = classifier.contract.scores[0]
    assert (evaluation.accuracy, evaluation.macro_f1, evaluation.clips) == (score.accuracy, score.macro_f1, 10)
    assert {label: item.recall for label, item in evaluation.classes.items()} == score.recall
    assert evaluation.trained_on_these == ()
    write_evaluation(evaluation, tmp_path / "report")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "evaluation.json",
        "evaluation.md",
        "confusion.png",
    }


def test_figures_on_folds_that_were_trained_on_carry_a_warning(trained: Path, tiny_data: Path) -> None:
    classifier = _TorchClassifier(trained / FILE_NAME)
    evaluation = evaluate_model(classifier, labeled_clips(split_by_folds(tiny_data, (1, 2), ())), SILENT)
    assert evaluation.trained_on_these == (1,)
    assert "trained on fold 1: these figures measure memory" in to_markdown(evaluation)


def test_a_model_of_other_classes_is_refused(trained: Path, tiny_data: Path) -> None:
    classifier = _TorchClassifier(trained / FILE_NAME)
    labels = ("whistle", *classifier.contract.labels[1:])
    classifier.contract = msgspec.structs.replace(
        classifier.contract, labels=labels, thresholds=dict.fromkeys(labels, 0.5)
    )
    with pytest.raises(ContractError, match="has the labels whistle, car_horn"):
        evaluate_model(classifier, labeled_clips(split_by_folds(tiny_data, (2,), ())), SILENT)


def test_a_clip_that_does_not_read_is_named(trained: Path, tiny_data: Path) -> None:
    (tiny_data / "audio" / "fold2" / "203-3-0-0.wav").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"203-3-0-0\.wav"):
        evaluate_model(
            _TorchClassifier(trained / FILE_NAME), labeled_clips(split_by_folds(tiny_data, (2,), ())), SILENT
        )


def test_the_command_prints_markdown_or_json(trained: Path, tiny_data: Path, tmp_path: Path) -> None:
    contract: ModelContract = load_network(trained / FILE_NAME)[1]
    model = write_onnx(tmp_path / "model.onnx", contract)
    arguments = [str(model), "--data", str(tiny_data), "--folds", "3"]
    page = CliRunner().invoke(evaluate_command, [*arguments, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert page.stdout.startswith(f"# {contract.identity} on UrbanSound8K fold 3\n")
    assert "9 clips: accuracy" in page.stdout
    assert "1 of the listed clips have no file" in page.stderr
    assert "these figures measure memory" in page.stderr
    printed = CliRunner().invoke(evaluate_command, [*arguments, "--json"], catch_exceptions=False).stdout
    assert json.loads(printed) == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    again = CliRunner().invoke(evaluate_command, [*arguments, "--out", str(tmp_path / "out")])
    assert isinstance(again.exception, ConfigError)
    assert "evaluation.json exists. Name another place, or add --overwrite" in str(again.exception)
    refused = CliRunner().invoke(evaluate_command, [*arguments, "--out", str(model)])
    assert isinstance(refused.exception, SinkError)
    assert f"The report cannot be written to {model}" in str(refused.exception)
    assert refused.stdout == ""  # refused before the work


def test_stored_scores_that_were_cut_off_are_computed_again(tmp_path: Path) -> None:
    track = Track(np.ones((2, 3), np.float32), np.arange(2), np.arange(2))
    assert stored_track(tmp_path / "scores", "a", lambda: track) is track
    (file,) = (tmp_path / "scores").iterdir()
    stored = stored_track(tmp_path / "scores", "a", lambda: pytest.fail("scored again"))
    np.testing.assert_array_equal(stored.values, track.values)
    file.write_bytes(file.read_bytes()[:100])
    assert stored_track(tmp_path / "scores", "a", lambda: track) is track
