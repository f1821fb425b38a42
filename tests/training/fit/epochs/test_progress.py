"""The description of a run before its first epoch, and its rate and time left."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
import torch
from rich.console import Console

from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from soundwatch.training.fit.epochs.loop import Row, describe
from soundwatch.training.fit.epochs.progress import RunProgress, format_time
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.setup.run_setup import RunSetup
from soundwatch.training.model.recipe import Recipe


class _Clock:
    """Clock that a test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _walk(console: Console, epochs: int, finished: int, steps: int, step_s: float) -> None:
    clock = _Clock()
    progress = RunProgress(console, epochs, finished, steps, clock)
    for number in range(finished + 1, epochs + 1):
        with progress.epoch(number) as advance:
            for _ in range(steps):
                clock.now_s += step_s
                advance()


def test_a_run_describes_itself_before_its_first_epoch(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> None:
    recipe = msgspec.structs.replace(tiny_recipe, epochs=1)
    session = RunSetup(
        recipe, split_by_folds(tiny_data, (1, 3), (2,)), (), (), (), tmp_path / "run", torch.device("cpu")
    )
    output = io.StringIO()
    run_session(session, False, Console(file=output))
    before, _, _ = output.getvalue().partition("epoch 1/1")
    for line in (
        "device: cpu (",
        f"recipe: tiny ({recipe.sha256[:12]}), learning rate up to 0.01",
        "clips: 19 and 0 other sounds to train on, 10 and 0 other sounds to test",
        " parameters",
        "steps: 1 epochs of 3 steps of 8 clips",
        "cache: about 1 MB of decoded clips in ",
    ):
        assert line in before
    words = [line.split() for line in before.splitlines()]
    assert ["class", "train", "1", "train", "3", "test", "2"] in words
    assert ["air_conditioner", "1", "0", "1"] in words
    assert ["siren", "1", "1", "1"] in words

    output.truncate(0)
    run_session(session, True, Console(file=output))
    assert "device:" not in output.getvalue(), "a finished run has nothing to start"


def test_elsewhere_than_on_a_terminal_a_line_a_minute_gives_rate_and_time_left() -> None:
    output = io.StringIO()
    _walk(Console(file=output, width=200), epochs=3, finished=1, steps=20, step_s=10.0)
    lines = output.getvalue().splitlines()
    assert lines[0] == "epoch 2/3 step 6/20  0.1 steps/s, about 6 min left"
    assert "expected time, without scoring: 0.1 steps/s, about 5 min left" in lines
    assert len(lines) == 1 + 400 // 60
    assert lines[-1] == "epoch 3/3 step 16/20  0.1 steps/s, about 40 s left"


def test_a_short_run_prints_no_expected_time() -> None:
    output = io.StringIO()
    _walk(Console(file=output, width=200), epochs=1, finished=0, steps=11, step_s=0.1)
    assert not output.getvalue()


def test_a_terminal_shows_rate_and_time_left_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    output = io.StringIO()
    _walk(Console(file=output, width=200, force_terminal=True), epochs=1, finished=0, steps=40, step_s=30.0)
    assert "epoch 1/1  0.0333 steps/s" in output.getvalue()
    assert "expected time, without scoring" in output.getvalue()
    assert "step 6/40" not in output.getvalue()


@pytest.mark.parametrize(
    ("duration_s", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_a_duration_has_a_readable_unit(duration_s: float, text: str) -> None:
    assert format_time(duration_s) == text


@pytest.mark.parametrize("columns", [40, 80, 100])
def test_the_lines_of_an_epoch_break_between_their_figures(columns: int) -> None:
    labels = ("air_conditioner", "car_horn", "children_playing", "dog_bark", "engine idling", "gun-shot", "music")
    row: Row = {"epoch": 4, "train_loss": 0.303, "train_accuracy": 0.912, "seconds": 31.2}
    row |= {"test_loss": 1.234, "accuracy": 0.745, "macro_f1": 0.759, **{f"recall_{label}": 0.5 for label in labels}}
    text = describe(row, 6, columns)
    assert all(len(line) <= columns for line in text.splitlines())
    for entry in ("epoch 4/6", "macro F1 0.759", "(31 s)", *(f"{label} 0.50" for label in labels)):
        assert any(entry in line for line in text.splitlines()), f"{entry} is not in one line of\n{text}"


def test_an_epoch_without_held_out_clips_is_one_line() -> None:
    assert describe({"epoch": 1, "train_loss": 0.5, "seconds": 2.0}, 3, 100) == "epoch 1/3  loss 0.500  (2 s)"
