"""Logs of a run: TensorBoard's event file is read back, and a class of the user gets the figures of `log.csv`."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.cli.train import train as train_command
from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from soundwatch.training.data.windows.cache import ClipCache
from soundwatch.training.fit.epochs.loop import Row
from soundwatch.training.fit.reports.run_log import open_logs
from soundwatch.training.fit.reports.run_result import MISTAKES, RunResult, find_mistakes
from soundwatch.training.fit.reports.tensorboard_log import TAGS
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.scores.scoring import ScoredClip, read_run
from soundwatch.training.model.checkpoint import FILE_NAME
from soundwatch.training.model.recipe import Recipe
from support.tiny_run import setup_on_folds

ROOT = Path(__file__).resolve().parents[4]
SILENT = Console(file=io.StringIO())


class StoppedError(Exception):
    """Simulated end of the process after an epoch."""


TERMINATING_LOG = """
import os, signal

class Log:
    def __init__(self, folder): pass
    def log_epoch(self, row): row["epoch"] == 1 and os.kill(os.getpid(), signal.SIGTERM)
    def log_result(self, result): pass
    def close(self): pass
"""


def read_events(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"audio": 0, "images": 0, "scalars": 0, "tensors": 0})
    events.Reload()
    return events


def train_with(logs: list[str], data: Path, recipe: Path, out: Path) -> None:
    words = ["--data", data, "--recipe", recipe, "--train-folds", "1,3", "--test-folds", "2", "--epochs", 2]
    words += ["--out", out, *(word for log in logs for word in ("--log", log))]
    result = CliRunner().invoke(train_command, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_a_run_that_is_terminated_ends_as_at_ctrl_c_and_says_how_to_go_on(
    tmp_path: Path, tiny_data: Path, tiny_recipe_file: Path
) -> None:
    (tmp_path / "terminating_log.py").write_text(TERMINATING_LOG)
    words = ["--data", tiny_data, "--recipe", tiny_recipe_file, "--epochs", 2, "--out", tmp_path / "run"]
    command = [sys.executable, "-m", "soundwatch.daemon", "train", *map(str, words), "--log", "terminating_log:Log"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Stopped after epoch 1 of 2; the same command with --resume continues it." in done.stderr
    assert (tmp_path / "run" / FILE_NAME).exists()
    assert not (tmp_path / "run" / "run.json").exists()


def test_tensorboard_gets_the_figures_of_the_log_the_confusion_and_the_audio_of_the_worst_mistakes(
    tmp_path: Path, tiny_data: Path, tiny_recipe_file: Path
) -> None:
    out = tmp_path / "run"
    train_with(["tensorboard"], tiny_data, tiny_recipe_file, out)
    rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
    events = read_events(out)
    for column, tag in TAGS.items():
        points = [(item.step, item.value) for item in events.Scalars(tag)]
        assert points == [(int(row["epoch"]), pytest.approx(float(row[column]), rel=1e-5)) for row in rows], tag
    assert "recall/siren" in events.Tags()["scalars"]
    assert [image.step for image in events.Images("confusion/held_out")] == [2]
    assert events.Images("confusion/held_out")[0].encoded_image_string.startswith(b"\x89PNG")

    held_out = [clip for clip in read_run(out).held_out if clip.class_id is not None]
    wrong = sum(max(clip.values) > clip.values[clip.class_id or 0] for clip in held_out)
    sounds = events.Tags()["audio"]
    assert wrong
    assert len(sounds) == min(wrong, MISTAKES)
    [sound] = events.Audio(sounds[0])
    with wave.open(io.BytesIO(sound.encoded_audio_string)) as file:
        assert (file.getframerate(), file.getnchannels()) == (8000, 1)
        assert any(file.readframes(file.getnframes()))
    [text] = events.Tensors(f"{sounds[0]}/text_summary")
    assert b".wav" in text.tensor_proto.string_val[0]


def test_a_run_that_was_stopped_and_resumed_logs_each_epoch_once(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = setup_on_folds(tiny_data, tiny_recipe, tmp_path / "run")

    def stop(row: Row, epochs: int, width: int) -> str:
        if row["epoch"] == 2:
            raise StoppedError
        return f"{row['epoch']} of {epochs}"

    with monkeypatch.context() as patch:
        patch.setattr("soundwatch.training.fit.epochs.loop.describe", stop)
        with pytest.raises(StoppedError), open_logs(["tensorboard"], session.out) as logs:
            run_session(session, False, SILENT, logs)
    with open_logs(["tensorboard"], session.out) as logs:
        run_session(session, True, SILENT, logs)
    assert [item.step for item in read_events(session.out).Scalars("loss/train")] == [1, 2, 3]


def test_a_run_without_held_out_clips_logs_no_confusion_and_no_mistakes(
    tmp_path: Path, tiny_data: Path, tiny_recipe_file: Path
) -> None:
    words = ["--data", tiny_data, "--recipe", tiny_recipe_file, "--epochs", 1, "--out", tmp_path / "run"]
    words += ["--train-folds", "1", "--log", "tensorboard"]
    result = CliRunner().invoke(train_command, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    tags = read_events(tmp_path / "run").Tags()
    assert set(tags["scalars"]) == {"loss/train", "accuracy/train", "learning_rate"}
    assert (tags["images"], tags["audio"]) == ([], [])


def test_the_example_of_the_documentation_runs(
    tmp_path: Path, tiny_data: Path, tiny_recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^```python\n(.*?)^```", page, re.S | re.M)
    (tmp_path / "my_log.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    train_with(["my_log:JsonLog", "tensorboard"], tiny_data, tiny_recipe_file, tmp_path / "run")
    monkeypatch.delitem(sys.modules, "my_log")
    lines = [json.loads(line) for line in (tmp_path / "run/figures.jsonl").read_text().splitlines()]
    rows = list(csv.DictReader((tmp_path / "run/log.csv").read_text().splitlines()))
    assert [list(line) for line in lines] == [list(row) for row in rows]
    assert [line["train_loss"] for line in lines] == [float(row["train_loss"]) for row in rows]
    worst = json.loads((tmp_path / "run/worst.json").read_text())
    assert set(worst) <= {clip.clip for clip in read_run(tmp_path / "run").held_out}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wandb", "no known log; tensorboard or MODULE:CLASS was expected"),
        ("no_such_module:Log", "cannot be imported: No module named 'no_such_module'"),
        ("json:NoSuchClass", "cannot be imported: module 'json' has no attribute"),
        ("json:JSONDecoder", "has no log_epoch; .* the methods log_epoch, log_result and close"),
        (":", "cannot be imported"),
    ],
)
def test_a_log_that_is_none_is_refused_before_the_training(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message), open_logs([name], tmp_path):
        pass


def test_without_the_package_the_message_has_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(ConfigError, match=r"pip install '\.\[tensorboard\]'"), open_logs(["tensorboard"], tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_log_is_closed_when_the_run_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = list[Path]()

    class Log:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def log_epoch(self, row: Row) -> None:
            raise AssertionError(row)

        def log_result(self, result: RunResult) -> None:
            raise AssertionError(result)

        def close(self) -> None:
            closed.append(self.folder)

    monkeypatch.setattr(sys.modules[__name__], "Log", Log, raising=False)
    with pytest.raises(StoppedError), open_logs([f"{__name__}:Log"], tmp_path):
        raise StoppedError
    assert closed == [tmp_path]


def test_the_worst_mistake_is_the_one_with_the_largest_excess(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe
) -> None:
    split = split_by_folds(tiny_data, (1, 3), (2,))
    clips = split.test[:3]
    excess = (0.1, 0.0, 0.6)  # the second is right
    scored = [
        ScoredClip(
            clip=clip.name,
            class_id=clip.class_id,
            values=tuple(0.3 if k == clip.class_id else (0.3 + more if k == 9 else 0.0) for k in range(10)),
        )
        for clip, more in zip(clips, excess, strict=True)
    ]
    cache = ClipCache(tiny_recipe.features, tmp_path / "clips")
    cache.fill(clips, SILENT)
    found = find_mistakes(clips, scored, split.labels, cache)
    assert [mistake.clip for mistake in found] == [clips[2].name, clips[0].name]
    assert {mistake.predicted for mistake in found} == {split.labels[9]}
    assert found[0].samples.shape[1] == cache(clips[2]).shape[1]
