"""Collect the accuracy of finished training runs into `benchmarks/results/accuracy.json`.

Usage: python benchmarks/accuracy.py RUN_DIR...

Conventions: one entry a run, in the order given; entries of other recipes stay. Shares are 0 to 1. A run's figures are
of the clips it was not trained on; one that trained on everything has none and is listed for its time and command.
Does not: train. The commands that made the runs are in the entries.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from soundwatch.training.fit.scoring import RunRecord, read_run
from soundwatch.training.model.checkpoint import FILE_NAME, read_checkpoint
from soundwatch.training.model.recipe import Recipe, decode_recipe

RESULTS = Path(__file__).parent / "results" / "accuracy.json"


def main(folders: list[Path]) -> None:
    if not folders:
        sys.exit(__doc__)
    entries = [describe(folder) for folder in folders]
    before = msgspec.json.decode(RESULTS.read_bytes())["runs"] if RESULTS.exists() else []
    recipes = {entry["recipe"] for entry in entries}
    entries = [entry for entry in before if entry["recipe"] not in recipes] + entries
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode({"runs": entries}), indent=1) + b"\n")
    for entry in entries:
        print(f"{entry['recipe']}: {entry['command']}")
        for score in msgspec.to_builtins(entry["scores"]):
            print(f"  {score['tested_on']}: accuracy {score['accuracy']:.3f}, macro F1 {score['macro_f1']:.3f}")


def describe(folder: Path) -> dict[str, Any]:
    """A run as an entry of the results."""
    record = read_run(folder)
    checkpoint = read_checkpoint(folder / FILE_NAME)
    contract = msgspec.json.decode(checkpoint.contract)
    recipe = decode_recipe(checkpoint.recipe)
    return {
        "recipe": record.recipe,
        "recipe_sha256": record.recipe_sha256,
        "trained_on": contract["provenance"]["data"],
        "clips": record.clips,
        "epochs": record.epochs,
        "seed": record.seed,
        "parameters": record.parameters,
        "training_seconds": record.seconds,
        "machine": record.machine,
        "torch": record.torch,
        "command": command(record, recipe, rebind=len(contract["scores"]) - len(record.scores)),
        "weights_sha256": contract["weights_sha256"],
        "false_alarms_on_held_out_negatives": false_alarms(record),
        "scores": record.scores,
    }


def command(record: RunRecord, recipe: Recipe, rebind: int) -> str:
    """The command line that makes such a run, with names for the folders; scores were taken over of so many runs."""
    words = ["soundwatch train --data DIR --recipe", record.recipe]
    if recipe.teaching:
        words.append("--teacher YAMNET")
    if recipe.street:
        words.append("--sounds DIR")
    if record.negatives:
        words.append("--negatives DIR")
    if record.plan.test_folds:
        words += ["--train-folds", ",".join(map(str, record.plan.train_folds))]
        words += ["--test-folds", ",".join(map(str, record.plan.test_folds))]
    return " ".join(words + ["--scores-from RUN"] * rebind)


def false_alarms(record: RunRecord) -> dict[str, int] | None:
    """How many held-out sounds of none of the classes have a score of 0.5 or more; None without such sounds."""
    highest = [max(clip.values) for clip in record.held_out if clip.class_id is None]
    return {"sounds": len(highest), "fired_at_0.5": sum(value >= 0.5 for value in highest)} if highest else None


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
