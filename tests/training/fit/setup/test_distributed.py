"""Two processes do the run that one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from soundwatch.training.cli.train import train
from soundwatch.training.fit.scores.scoring import read_run
from soundwatch.training.fit.setup.distributed import SINGLE_PROCESS, DistributedContext
from soundwatch.training.model.checkpoint import FILE_NAME, Checkpoint, read_checkpoint

# Sums over rows are added up in another order, 1e-7 apart; AdamW divides small gradients by their own size, so that the
# difference grows over the run's steps. docs/clusters.md states these two.
WEIGHTS_WITHIN = 1e-4
SCORES_WITHIN = 1e-4


def arguments(out: Path, data: Path, recipe: Path) -> list[str]:
    folds = ["--train-folds", "1,3", "--test-folds", "2"]
    return ["--data", str(data), "--recipe", str(recipe), *folds, "--out", str(out), "--device", "cpu"]


def train_alone(out: Path, data: Path, recipe: Path) -> Checkpoint:
    done = CliRunner().invoke(train, arguments(out, data, recipe), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return read_checkpoint(out / FILE_NAME)


def train_together(processes: int, out: Path, data: Path, recipe: Path) -> Checkpoint:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "soundwatch.training", "train", *arguments(out, data, recipe)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("macro F1") == 1, "one process prints"
    return read_checkpoint(out / FILE_NAME)


def test_two_processes_give_the_results_of_one(tmp_path: Path, tiny_data: Path, tiny_recipe_file: Path) -> None:
    # 21 examples: the last batch has one, so that one of the two has nothing to learn from
    tiny_recipe_file.write_text(tiny_recipe_file.read_text().replace("batch_clips: 8", "batch_clips: 4"))
    alone = train_alone(tmp_path / "alone", tiny_data, tiny_recipe_file)
    together = train_together(2, tmp_path / "together", tiny_data, tiny_recipe_file)
    assert (together.epoch, together.recipe, together.plan) == (alone.epoch, alone.recipe, alone.plan)
    for one, two in ((alone.model, together.model), (alone.ema or {}, together.ema or {})):
        assert list(one) == list(two)
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, rtol=0, atol=WEIGHTS_WITHIN, msg=name)
    losses = [[row["train_loss"] or 0.0 for row in run.history] for run in (alone, together)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    accuracies = [run.history[0]["train_accuracy"] for run in (alone, together)]
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.11), "rounding may turn an example or two"
    scores = [[clip.values for clip in read_run(tmp_path / name).held_out] for name in ("alone", "together")]
    np.testing.assert_allclose(scores[1], scores[0], atol=SCORES_WITHIN)


def test_rows_are_distributed_evenly_without_omission() -> None:
    from soundwatch.training.fit.steps.examples import Batch

    for total in range(1, 9):
        batch = Batch(torch.arange(total)[:, None], torch.arange(total), None)
        shares = [DistributedContext(rank, 3).shard(batch).targets.tolist() for rank in range(3)]
        assert [row for share in shares for row in share] == list(range(total))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_that_torchrun_did_not_start_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from soundwatch.training.fit.setup.distributed import distributed_context

    monkeypatch.delenv("RANK", raising=False)
    assert distributed_context(torch.device("cpu")) == (SINGLE_PROCESS, torch.device("cpu"))
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.Dropout(0.5))
    assert SINGLE_PROCESS.sync_layers(network) is network
