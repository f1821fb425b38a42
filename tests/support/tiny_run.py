"""Small training runs on the folds of `tiny_data`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.data.datasets.urbansound8k import Clip, split_by_folds
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.setup.run_setup import RunSetup
from soundwatch.training.model.recipe import Recipe
from support.level_teacher import LevelTeacher


def setup_on_folds(root: Path, recipe: Recipe, out: Path, teacher: LevelTeacher | None = None) -> RunSetup:
    """Return a run on the CPU that trains on folds 1 and 3 and tests on fold 2."""
    return RunSetup(recipe, split_by_folds(root, (1, 3), (2,)), (), (), (), out, torch.device("cpu"), None, teacher)


def run_silently(session: RunSetup, resume: bool = False) -> None:
    """Run to the end, and print nothing."""
    run_session(session, resume, Console(file=io.StringIO()))


class _CutOffError(Exception):
    """Simulated power failure."""


def run_until_cut_off(session: RunSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until the second epoch is in the checkpoint; the run then ends before its log is written."""

    def cut_off(path: Path, history: list[object]) -> None:
        if len(history) == 2:
            raise _CutOffError

    with monkeypatch.context() as patch:
        patch.setattr("soundwatch.training.fit.runs.run.write_log", cut_off)
        with pytest.raises(_CutOffError):
            run_silently(session)


def class_tone(clip: Clip) -> Samples:
    """Return a tone (1, 3000) whose frequency depends on the clip's class."""
    return np.sin(np.arange(3000, dtype=np.float32) * (1 + (clip.class_id or 0)) / 10)[None]
