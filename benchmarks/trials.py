"""Put the networks of cross-validation on trial: in a street, among other sounds, under what microphones do.

Run `python benchmarks/trials.py --data DIR --negatives DIR RUN_DIR...` with the finished runs of one recipe,
each of which holds a fold back; it writes results/street.json, openset.json and robustness.json, from which
the documentation's tables are made. It takes a quarter of an hour on one core.

Conventions: each network is exported and heard through the daemon, on the fold that it has not learned from.
Its thresholds are chosen by training's own rule on the clips that the other runs held back, and on no
negative: neither its own fold nor a recording that counts as a false alarm takes part. `--shipped` adds what
ships to openset.json. Its weights have heard no held-out negative, but its thresholds were chosen on their scores.
Does not: train.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from runtime import machine

from soundwatch.daemon import __version__
from soundwatch.daemon.classify import LoadedModel, open_classifier
from soundwatch.export.exporter import export_checkpoint
from soundwatch.training.checkpoint import FILE_NAME
from soundwatch.training.cli.trials import Trial, TrialOptions
from soundwatch.training.data import split_by_folds
from soundwatch.training.scoring import RunRecord, read_run
from soundwatch.training.thresholds import choose_thresholds
from soundwatch.training.trials import Report, run_trial

RESULTS: Final = Path(__file__).parent / "results"
TRIALS: Final[dict[Trial, str]] = {"street": "street", "open-set": "openset", "robustness": "robustness"}
CONSOLE: Final = Console(stderr=True)


def main() -> None:
    arguments = parse()
    runs = [read_run(folder) for folder in arguments.runs]
    for trial in arguments.only or TRIALS:
        entries = []
        for folder, run in zip(arguments.runs, runs, strict=True):
            others = [other for other in runs if other is not run]
            CONSOLE.print(f"{trial}: {folder.name}")
            classifier = network_of(folder, others)
            report = put_on_trial(classifier, trial, run.plan.test_folds, arguments)
            entries.append(describe(classifier, thresholds_from(others), report))
        if arguments.shipped and trial == "open-set":
            shipped = open_classifier(arguments.shipped)
            report = put_on_trial(shipped, trial, (), arguments)
            entries.append(describe(shipped, "its contract, for which held-out negatives were scored too", report))
        write(trial, entries, arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--negatives", type=Path, required=True)
    parser.add_argument("--shipped", help="a model to add to openset.json, such as urban")
    parser.add_argument("--only", nargs="+", choices=TRIALS)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--limit", type=int)
    return parser.parse_args()


def network_of(folder: Path, others: Sequence[RunRecord]) -> LoadedModel:
    """A run's network as the daemon opens it, at thresholds chosen on other runs' clips; its own without any."""
    with tempfile.TemporaryDirectory() as out:
        files, _ = export_checkpoint(folder / FILE_NAME, ["onnx"], Path(out), None, CONSOLE)
        model = open_classifier(files[0])
    clips = [clip for other in others for clip in other.held_out if clip.class_id is not None]
    if not clips:
        return model
    return replace(
        model,
        contract=msgspec.structs.replace(model.contract, thresholds=choose_thresholds(clips, model.contract.labels)),
    )


def thresholds_from(others: Sequence[RunRecord]) -> str:
    """Where the thresholds come from, in words."""
    folds = ", ".join(str(fold) for other in others for fold in other.plan.test_folds)
    return f"the scores of clips of fold {folds} by the networks that held them back" if folds else "its contract"


def put_on_trial(
    classifier: LoadedModel, trial: Trial, folds: tuple[int, ...], arguments: argparse.Namespace
) -> Report:
    options = TrialOptions(
        trial=trial,
        snr_db=None,
        minutes=arguments.minutes,
        negatives=arguments.negatives,
        unseen=False,
        limit=arguments.limit,
        seed=None,
    )
    if trial == "open-set":
        return run_trial(classifier, options, None, None, CONSOLE)
    return run_trial(classifier, options, arguments.data, split_by_folds(arguments.data, folds, ()), CONSOLE)


def describe(classifier: LoadedModel, thresholds_from: str, report: Report) -> dict[str, Any]:
    """An entry of the results."""
    provenance = classifier.contract.provenance
    return {
        "recipe": provenance.recipe,
        "trained_on": provenance.data,
        "thresholds_from": thresholds_from,
        "report": report,
    }


def write(trial: Trial, entries: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    words = ["python benchmarks/trials.py --data DIR --negatives DIR"]
    words += [f"--{name} {value}" for name in ("shipped", "minutes", "limit") if (value := getattr(arguments, name))]
    results = {
        "command": " ".join([*words, *(f"runs/{folder.name}" for folder in arguments.runs)]),
        "date": datetime.now(UTC).date().isoformat(),
        "version": __version__,
        "machine": machine(),
        "entries": entries,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{TRIALS[trial]}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    print(path)


if __name__ == "__main__":
    main()
