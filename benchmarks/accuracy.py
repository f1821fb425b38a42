"""Collect the accuracy of finished training runs into `benchmarks/results/accuracy.json`.

Usage: python benchmarks/accuracy.py RUN_DIR...

Conventions: one entry a run, in the order given; entries of other recipes stay. Shares are 0 to 1. A run's figures are
of the clips it was not trained on; one that trained on everything has none and is listed for its time and command.
Does not: train. The commands that made the runs are in the entries.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean
from typing import Any, Final

import msgspec
from harness import Results, Table, share, table, write_results

from soundwatch.training.fit.scores.scoring import RunRecord, read_run
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
    write_results("accuracy", {"runs": entries}, TABLES["accuracy"])
    for entry in entries:
        print(f"{entry['recipe']}: {entry['command']}")
        for score in msgspec.to_builtins(entry["scores"]):
            print(f"  {score['tested_on']}: accuracy {score['accuracy']:.3f}, macro F1 {score['macro_f1']:.3f}")


def describe(folder: Path) -> dict[str, Any]:
    """Return a run as an entry of the results."""
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
    """Return the command line that makes such a run, with names for the folders and a number of runs for scores."""
    if record.plan.averaged:
        words = ["soundwatch average", *["RUN"] * len(record.plan.averaged), "--data DIR"]
        words += ["--negatives DIR"] if record.negatives else []
        return " ".join(words + ["--scores-from RUN"] * rebind)
    words = ["soundwatch train --data DIR --recipe", record.recipe]
    if recipe.teaching:
        words.append("--teacher YAMNET")
    if recipe.street:
        words.append("--sounds DIR")
    if record.negatives:
        words.append("--negatives DIR")
    if recipe.hard_views:
        words.append("--hard-from RUN")
    if record.plan.test_folds:
        words += ["--train-folds", ",".join(map(str, record.plan.train_folds))]
        words += ["--test-folds", ",".join(map(str, record.plan.test_folds))]
    return " ".join(words + ["--scores-from RUN"] * rebind)


def false_alarms(record: RunRecord) -> dict[str, int] | None:
    """Return the number of held-out other sounds with a score of 0.5 or more; None without such sounds."""
    highest = [max(clip.values) for clip in record.held_out if clip.class_id is None]
    return {"sounds": len(highest), "fired_at_0.5": sum(value >= 0.5 for value in highest)} if highest else None


SHIPPED: Final = ("urban-hard", "urban-street", "urban-taught", "urban", "tutorial")


def scored_runs(results: Results) -> list[Results]:
    """Return the runs with held-out folds, the default model's recipe first, each fold once and in order."""
    runs = {(run["recipe"], score["tested_on"]): run for run in results["runs"] for score in run["scores"]}
    order = [*SHIPPED, *sorted({recipe for recipe, _ in runs} - set(SHIPPED))]
    return [runs[key] for key in sorted(runs, key=lambda key: (order.index(key[0]), len(key[1]), key[1]))]


def by_recipe(results: Results) -> dict[str, list[Results]]:
    """Scored runs under their recipe's name."""
    runs = scored_runs(results)
    return {run["recipe"]: [other for other in runs if other["recipe"] == run["recipe"]] for run in runs}


def accuracy_summary_table(results: Results) -> Table:
    """Return a row for each recipe: accuracy on each fold, and the means."""
    folds = sorted({run["scores"][0]["tested_on"] for run in scored_runs(results)}, key=lambda fold: (len(fold), fold))
    rows = []
    for recipe, runs in by_recipe(results).items():
        scores = {run["scores"][0]["tested_on"]: run["scores"][0] for run in runs}
        accuracies = [share(scores[fold]["accuracy"]) if fold in scores else "" for fold in folds]
        means = [share(mean(score[key] for score in scores.values())) for key in ("accuracy", "macro_f1")]
        rows.append((f"`{recipe}`", f"{runs[0]['parameters']:,}", *accuracies, *means))
    short = [fold.replace("UrbanSound8K ", "") for fold in folds]
    return table(("model", "parameters", *short, "mean accuracy", "mean macro F1"), rows)


def accuracy_runs_table(results: Results) -> Table:
    """Return a row for each run: training data, test data and accuracy."""
    return table(
        ("recipe", "trained on", "tested on", "clips tested", "accuracy", "macro F1"),
        (
            (
                f"`{run['recipe']}`",
                score["trained_on"],
                score["tested_on"],
                str(score["clips"]),
                share(score["accuracy"]),
                share(score["macro_f1"]),
            )
            for run in scored_runs(results)
            for score in run["scores"][:1]
        ),
    )


def recall_table(results: Results) -> Table:
    """Return a row for each class: the share of its clips found, in every run."""
    runs = scored_runs(results)
    headings = [f"`{run['recipe']}`, {run['scores'][0]['tested_on'].replace('UrbanSound8K ', '')}" for run in runs]
    labels = list(runs[0]["scores"][0]["recall"])
    return table(
        ("class", *headings), ((label, *(share(run["scores"][0]["recall"][label]) for run in runs)) for label in labels)
    )


def false_alarms_table(results: Results) -> Table:
    """Return a row for each run: how many of the held-out sounds of none of the classes fire."""
    rows = []
    for run in scored_runs(results):
        counts = run["false_alarms_on_held_out_negatives"]
        if counts is not None:
            tested = run["scores"][0]["tested_on"]
            rows.append((f"`{run['recipe']}`, without {tested}", str(counts["sounds"]), str(counts["fired_at_0.5"])))
    return (
        table(("network", "sounds", "with a score of 0.5 or more"), rows)
        if rows
        else table((), (), "Not measured yet.")
    )


def training_cost_table(results: Results) -> Table:
    """Return a row for each run: how long it took, where, and the command that repeats it."""
    rows = []
    for run in results["runs"]:
        machine = run["machine"]
        where = f"{machine['processor']}, {machine['threads']} thread{'s' if machine['threads'] > 1 else ''}"
        where = where if machine["device"] == "cpu" else machine["device"]
        rows.append((f"`{run['command']}`", str(run["epochs"]), f"{run['training_seconds'] / 60:.0f} min", where))
    return table(("command", "epochs", "time", "on"), rows)


TABLES: Final = {
    "accuracy": {
        "accuracy-summary": accuracy_summary_table,
        "accuracy": accuracy_runs_table,
        "recall": recall_table,
        "false-alarms": false_alarms_table,
        "training-cost": training_cost_table,
    },
}


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
