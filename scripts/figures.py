"""Tables of figures in README.md and docs/*.md, written from benchmarks/results/*.json and nowhere else.

Usage: python scripts/figures.py [--check]

A page holds a region between `<!-- figures: NAME -->` and `<!-- end figures -->`; the names are in `FIGURES`.
With --check nothing is written, and the exit code is 1 if a region does not say what the results say.

Conventions: a figure that nobody has measured yet is said to be so. Shares are shown with three digits.
Does not: measure. Each results file names the command that made it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from statistics import mean, stdev
from typing import Any, Final

import msgspec
from event_figures import EVENT_FIGURES
from fault_figures import FAULT_FIGURES
from fleet_figures import FLEET_FIGURES
from generated_regions import ROOT, write
from guard_figures import GUARD_FIGURES
from loss_figures import LOSS_FIGURES
from privacy_figures import PRIVACY_FIGURES
from runtime_figures import RUNTIME_FIGURES
from scan_figures import SCAN_FIGURES
from shadow_figures import SHADOW_FIGURES
from tables import share, table
from trial_figures import TRIAL_FIGURES

RESULTS: Final = ROOT / "benchmarks" / "results"
SHIPPED: Final = ("urban-street", "urban-taught", "urban", "tutorial")

Results = dict[str, Any]


def scored_runs(results: Results) -> list[Results]:
    """The runs that held folds back, the default model's recipe first, each fold once and in order."""
    runs = {(run["recipe"], score["tested_on"]): run for run in results["runs"] for score in run["scores"]}
    order = [*SHIPPED, *sorted({recipe for recipe, _ in runs} - set(SHIPPED))]
    return [runs[key] for key in sorted(runs, key=lambda key: (order.index(key[0]), len(key[1]), key[1]))]


def by_recipe(results: Results) -> dict[str, list[Results]]:
    """Scored runs under their recipe's name."""
    runs = scored_runs(results)
    return {run["recipe"]: [each for each in runs if each["recipe"] == run["recipe"]] for run in runs}


def accuracy_summary(results: Results) -> str:
    """A row a recipe: accuracy on each fold, and the means."""
    folds = sorted({run["scores"][0]["tested_on"] for run in scored_runs(results)}, key=lambda fold: (len(fold), fold))
    rows = []
    for recipe, runs in by_recipe(results).items():
        scores = {run["scores"][0]["tested_on"]: run["scores"][0] for run in runs}
        accuracies = [share(scores[fold]["accuracy"]) if fold in scores else "" for fold in folds]
        means = [share(mean(score[key] for score in scores.values())) for key in ("accuracy", "macro_f1")]
        rows.append((f"`{recipe}`", f"{runs[0]['parameters']:,}", *accuracies, *means))
    short = [fold.replace("UrbanSound8K ", "") for fold in folds]
    return table(("model", "parameters", *short, "mean accuracy", "mean macro F1"), rows)


def accuracy_runs(results: Results) -> str:
    """A row a run: what it learned from, what it was scored on, and how it did."""
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


def recall(results: Results) -> str:
    """A row a class: the share of its clips found, in every run."""
    runs = scored_runs(results)
    headings = [f"`{run['recipe']}`, {run['scores'][0]['tested_on'].replace('UrbanSound8K ', '')}" for run in runs]
    labels = list(runs[0]["scores"][0]["recall"])
    return table(
        ("class", *headings), ((label, *(share(run["scores"][0]["recall"][label]) for run in runs)) for label in labels)
    )


def false_alarms(results: Results) -> str:
    """A row a run: how many of the held-out sounds of none of the classes fire."""
    rows = []
    for run in scored_runs(results):
        counts = run["false_alarms_on_held_out_negatives"]
        if counts is not None:
            tested = run["scores"][0]["tested_on"]
            rows.append((f"`{run['recipe']}`, without {tested}", str(counts["sounds"]), str(counts["fired_at_0.5"])))
    return table(("network", "sounds", "with a score of 0.5 or more"), rows) if rows else "Not measured yet."


def training_cost(results: Results) -> str:
    """A row a run: how long it took, where, and the command that repeats it."""
    rows = []
    for run in results["runs"]:
        machine = run["machine"]
        where = f"{machine['processor']}, {machine['threads']} thread{'s' if machine['threads'] > 1 else ''}"
        where = where if machine["device"] == "cpu" else machine["device"]
        rows.append((f"`{run['command']}`", str(run["epochs"]), f"{run['training_seconds'] / 60:.0f} min", where))
    return table(("command", "epochs", "time", "on"), rows)


def parity(results: Results) -> str:
    """A row a way of computing a model: its largest differences from torch over all probes and clips."""
    rows = []
    for model in results["models"]:
        for rung in dict.fromkeys(each["rung"] for each in model["differences"]):
            largest = [
                max(each[key] for each in model["differences"] if each["rung"] == rung) for key in ("mel_db", "score")
            ]
            rows.append((f"`{model['model']}`", rung, *(f"{value:.0e}" for value in largest)))
        rows += [(f"`{model['model']}`", each["rung"], "not run", each["reason"]) for each in model["not_run"]]
    sounds = len({each["probe"] for model in results["models"] for each in model["differences"]}) - 1
    note = f"Largest of {sounds} probes and real clips, against torch {results['torch']} on {results['machine']}."
    return f"{table(('model', 'computed by', 'mel, dB', 'score'), rows)}\n\n{note}"


def finetune(results: Results) -> str:
    """A row a way of learning new classes: its accuracy over the seeds, and how far it is behind the first way."""
    rows = []
    first = next(iter(results["accuracy"].values()))["seeds"]
    for name, each in results["accuracy"].items():
        behind = [100 * (ours - theirs) for ours, theirs in zip(first, each["seeds"], strict=True)]
        gap = f"{mean(behind):.1f} ± {stdev(behind):.1f} points" if each["seeds"] != first else ""
        seeds = ", ".join(share(value) for value in each["seeds"])
        rows.append((name, f"{share(each['mean'])} ± {share(each['deviation'])}", gap, seeds))
    note = (
        f"A network of {len(results['known'])} classes, trained by `{results['base']['recipe']}`, learned "
        f"{', '.join(results['new'])} from {results['clips_a_class']} clips each in {results['epochs']} epochs; "
        f"accuracy on {results['tested_clips']} clips of other recordings, mean and standard deviation over "
        f"{len(results['seeds'])} seeds, each with other clips to learn from. "
        f"`{results['command']}` took {results['cpu_s'] / 60:.0f} minutes of one core."
    )
    return f"{table(('starting from', 'accuracy', 'behind the first, seed by seed', 'each seed'), rows)}\n\n{note}"


def hardening(results: Results) -> str:
    """What systemd says of the units, and what the system's leaves open."""
    rows = [(f"`{unit['unit']}`", f"{unit['exposure']:.1f}") for unit in results["units"]]
    left = [(f"`{each['setting']}`", each["means"], f"{each['weighs']:.1f}") for each in results["units"][0]["open"]]
    note = (
        f"`{results['command']}`, {results['date']}, systemd {results['systemd']}: 0 is shut in entirely, 10 is open."
    )
    system = table(("what the system's unit leaves open", "systemd's words", "weighs"), left)
    return f"{table(('unit', 'exposure'), rows)}\n\n{note}\n\n{system}"


FIGURES: Final[dict[str, tuple[str, Callable[[Results], str]]]] = {
    "accuracy-summary": ("accuracy.json", accuracy_summary),
    "accuracy": ("accuracy.json", accuracy_runs),
    "recall": ("accuracy.json", recall),
    "false-alarms": ("accuracy.json", false_alarms),
    "training-cost": ("accuracy.json", training_cost),
    "parity": ("parity.json", parity),
    "finetune": ("finetune.json", finetune),
    "hardening": ("hardening.json", hardening),
    **FAULT_FIGURES,
    **FLEET_FIGURES,
    **LOSS_FIGURES,
    **PRIVACY_FIGURES,
    **GUARD_FIGURES,
    **RUNTIME_FIGURES,
    **SCAN_FIGURES,
    **SHADOW_FIGURES,
    **TRIAL_FIGURES,
    **EVENT_FIGURES,
}


def region(name: str) -> str:
    """What stands in the region of this name."""
    if name not in FIGURES:
        sys.exit(f"There are no figures called {name}; known: {', '.join(FIGURES)}.")
    file, render = FIGURES[name]
    path = RESULTS / file
    if not path.exists():
        return f"Not measured yet: there is no `benchmarks/results/{file}`."
    return render(msgspec.json.decode(path.read_bytes()))


def main(arguments: Sequence[str]) -> int:
    """Rewrite the regions, or with --check say which pages are stale."""
    return write(arguments, "figures", lambda name, _: region(name), "Figures differ from benchmarks/results")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
