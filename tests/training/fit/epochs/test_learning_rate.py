"""The learning rate of a run, which `log.csv` shows: positive at each step, and never above its maximum."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from soundwatch.training.data.windows.window_plan import count_batches
from soundwatch.training.fit.epochs.loop import start_run
from soundwatch.training.model.recipe import Recipe
from support.tiny_run import setup_on_folds


@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize(("epochs", "batch_clips"), [(1, 1000), (2, 1000), (3, 1000), (2, 4)])
def test_no_step_has_a_negative_learning_rate(
    tmp_path: Path,
    tiny_data: Path,
    tiny_recipe: Recipe,
    anneal: Literal["cos", "linear"],
    epochs: int,
    batch_clips: int,
) -> None:
    numbers = msgspec.structs.replace(tiny_recipe.optimisation, anneal=anneal)
    recipe = msgspec.structs.replace(tiny_recipe, optimisation=numbers, epochs=epochs, batch_clips=batch_clips)
    session = setup_on_folds(tiny_data, recipe, tmp_path / "run")
    run = start_run(session)
    rates = list[float]()
    for _ in range(count_batches(session.train_clips, recipe) * epochs):
        rates.append(float(run.scheduler.get_last_lr()[-1]))
        run.optimizer.step()
        run.scheduler.step()
    assert 0 < min(rates) <= max(rates) <= numbers.max_learning_rate
