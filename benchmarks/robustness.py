"""Cross-validated networks through bad microphones, and the shipped model in other sounds and in ambience.

Run `python benchmarks/robustness.py --data DIR --negatives DIR RUN_DIR...` with the finished runs of one recipe,
each with a held-out fold; it writes results/robustness.json and results/openset.json with the documentation's tables.
It takes a quarter of an hour on one core.

Conventions: each network of a run is exported and classifies the clips of its held-out fold, clean and changed. The
shipped model detects at its own thresholds in the held-out recordings of the negatives, which neither its weights nor
its thresholds were chosen with, and in an hour of ambience.
Does not: train, or measure events in a street (false_events.py does).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Final

from harness import option_parser, provenance, write_results
from rich.console import Console
from robustness_tables import TABLES

from soundwatch.daemon.inference.classifier import LoadedModel, load_classifier_file
from soundwatch.export.exporter import export_checkpoint
from soundwatch.training.data.datasets.labeled_clips import labeled_clips
from soundwatch.training.data.datasets.negatives import split_negatives
from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from soundwatch.training.evaluation.recordings.openset import evaluate_openset
from soundwatch.training.evaluation.recordings.robustness import evaluate_robustness
from soundwatch.training.fit.scores.scoring import read_run
from soundwatch.training.model.checkpoint import FILE_NAME

MINUTES: Final = 60.0
SEED: Final = 1
CONSOLE: Final = Console(stderr=True)


def main() -> None:
    arguments = parse()
    write("openset", [describe_openset(arguments)], arguments)
    write("robustness", [describe_robustness(folder, arguments.data) for folder in arguments.runs], arguments)


def parse() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--negatives", type=Path, action="append", required=True, help="may be given more than once")
    parser.add_argument("--model", default="urban", help="the shipped model [default: %(default)s]")
    return parser.parse_args()


def describe_openset(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the shipped model in the held-out negatives and in ambience."""
    CONSOLE.print(f"Other sounds: {arguments.model}")
    model, negatives = load_classifier_file(arguments.model), split_negatives(*arguments.negatives)[1]
    report = evaluate_openset(model, negatives, negatives, True, MINUTES, SEED, CONSOLE)
    return {"recipe": model.contract.provenance.recipe, "holds_back_folds": (), "report": report}


def describe_robustness(folder: Path, data: Path) -> dict[str, Any]:
    """Classify the clips of a run's held-out fold, clean and changed."""
    CONSOLE.print(f"Microphones and rooms: {folder.name}")
    folds, model = read_run(folder).plan.test_folds, network_of(folder)
    report = evaluate_robustness(model, labeled_clips(split_by_folds(data, folds, ())), SEED, CONSOLE)
    return {"recipe": model.contract.provenance.recipe, "holds_back_folds": folds, "report": report}


def network_of(folder: Path) -> LoadedModel:
    """Open the network of a run as the daemon opens it."""
    with tempfile.TemporaryDirectory() as out:
        files, _ = export_checkpoint(folder / FILE_NAME, ["onnx"], Path(out), None, CONSOLE)
        return load_classifier_file(files[0])


def write(name: str, entries: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    negatives = " ".join(["--negatives DIR"] * len(arguments.negatives))
    command = f"python benchmarks/robustness.py --data DIR {negatives}"
    runs = " ".join(f"runs/{folder.name}" for folder in arguments.runs)
    write_results(name, {**provenance(f"{command} {runs}"), "entries": entries}, TABLES[name])


if __name__ == "__main__":
    main()
