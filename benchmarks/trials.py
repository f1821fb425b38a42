"""Trials of cross-validated networks: streets, other sounds, and conditions of microphones.

Run `python benchmarks/trials.py --data DIR --negatives DIR RUN_DIR...` with the finished runs of one recipe,
each with a held-out fold; it writes results/street.json, openset.json and robustness.json with the documentation's
tables. It takes a quarter of an hour on one core.

Conventions: each network is exported and run through the daemon on its held-out fold. Its thresholds are chosen by
training's rule on the held-out clips of the other runs, and on their scores of half of the held-out negatives. The
other half is the test data: neither the own fold nor a recording that counts as a false alarm takes part. The street
(at 10 dB only) and the other sounds are then run again with the thresholds of `soundwatch calibrate` for half a false
event an hour, on an hour of ambience drawn with another seed. `--shipped` adds the shipped model to openset.json. Its
weights were trained without the held-out negatives, but its thresholds were chosen on their scores.
Does not: train.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from harness import option_parser, provenance, write_results
from rich.console import Console
from trials_tables import TABLES

from soundwatch.daemon.core.config import DetectionConfig
from soundwatch.daemon.core.source import SourceInfo
from soundwatch.daemon.core.types import Block, read_only
from soundwatch.daemon.detection.calibration import calibrate
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.inference.classifier import LoadedModel, load_classifier_file
from soundwatch.daemon.pipeline.scoring import score_windows
from soundwatch.export.exporter import export_checkpoint
from soundwatch.training.data.labeled_clips import labeled_clips
from soundwatch.training.data.negatives import split_negatives
from soundwatch.training.data.read_audio import RATE_HZ
from soundwatch.training.data.urbansound8k import Clip, split_by_folds
from soundwatch.training.evaluation.openset import COMPOSITION, evaluate_openset
from soundwatch.training.evaluation.options import Trial
from soundwatch.training.evaluation.robustness import evaluate_robustness
from soundwatch.training.evaluation.scenarios import Report
from soundwatch.training.evaluation.street import evaluate_street, foreground_clips
from soundwatch.training.fit.scoring import RunRecord, read_run
from soundwatch.training.fit.thresholds import choose_thresholds
from soundwatch.training.model.checkpoint import FILE_NAME
from soundwatch.training.sounds.ambience import ambiences, gain_to_dbfs

TRIALS: Final[dict[Trial, str]] = {"street": "street", "open-set": "openset", "robustness": "robustness"}
TARGET_PER_H: Final = 0.5
OTHER_SEED: Final = 2
GOAL_SNR_DB: Final = 10.0
SNRS_DB: Final = (20.0, 10.0, 5.0, 0.0)
CONSOLE: Final = Console(stderr=True)


def main() -> None:
    arguments = parse()
    runs = [read_run(folder) for folder in arguments.runs]
    for trial in arguments.only or TRIALS:
        entries = []
        for folder, run in zip(arguments.runs, runs, strict=True):
            CONSOLE.print(f"{trial}: {folder.name}")
            model = network_of(folder, [other for other in runs if other is not run])
            entries.append(describe(model, run, "cross-validated", put_on_trial(model, trial, run, arguments)))
            if trial != "robustness":
                CONSOLE.print("The same, calibrated")
                model = calibrated(model, arguments.negatives)
                entries.append(
                    describe(model, run, "calibrated", put_on_trial(model, trial, run, arguments, (GOAL_SNR_DB,)))
                )
        if arguments.shipped and trial == "open-set":
            model = load_classifier_file(arguments.shipped)
            entries.append(describe(model, None, "shipped", put_on_trial(model, trial, None, arguments)))
        write(trial, entries, arguments)


def parse() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--negatives", type=Path, action="append", required=True, help="may be given more than once")
    parser.add_argument("--shipped", help="a model to add to openset.json, such as urban")
    parser.add_argument("--only", nargs="+", choices=TRIALS)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--limit", type=int)
    return parser.parse_args()


def network_of(folder: Path, others: Sequence[RunRecord]) -> LoadedModel:
    """A run's network as the daemon opens it, at thresholds chosen on other runs' clips; its own without any."""
    with tempfile.TemporaryDirectory() as out:
        files, _ = export_checkpoint(folder / FILE_NAME, ["onnx"], Path(out), None, CONSOLE)
        model = load_classifier_file(files[0])
    held_out = [clip for other in others for clip in other.held_out]
    clips = [clip for clip in held_out if clip.class_id is not None or chosen_on(clip.clip)]
    if not clips:
        return model
    return replace(
        model,
        contract=msgspec.structs.replace(model.contract, thresholds=choose_thresholds(clips, model.contract.labels)),
    )


def chosen_on(name: str) -> bool:
    """Return True if a negative is for the choice of thresholds; takes of one recording stay together."""
    parts = Path(name).stem.split("-")
    return hashlib.sha256(parts[min(1, len(parts) - 1)].encode()).digest()[1] % 2 == 0


def negatives_to_test(folders: Sequence[Path]) -> tuple[Clip, ...]:
    """The held-out negatives that chose no threshold."""
    return tuple(clip for clip in split_negatives(*folders)[1] if not chosen_on(clip.name))


@dataclass(frozen=True, slots=True)
class Place:
    """All ambience of the open-set trial as one background source.

    Attributes:
        negatives: The folders.
    """

    negatives: Sequence[Path]
    start_unix_ns: int = 0

    @property
    def info(self) -> SourceInfo:
        """Description of the source."""
        return SourceInfo("place", "ambience", RATE_HZ, 1)

    def blocks(self) -> Iterator[Block]:
        """The composition, ten seconds at a time."""
        kinds, _ = ambiences(negatives_to_test(self.negatives), OTHER_SEED)
        first_sample, size = 0, 10 * RATE_HZ
        for kind, levels_dbfs, minutes in COMPOSITION:
            for level_dbfs in levels_dbfs if kind in kinds else ():
                for _ in range(round(minutes * 6)):
                    yield Block(
                        read_only(kinds[kind].take(size)[None] * gain_to_dbfs(level_dbfs)), RATE_HZ, first_sample
                    )
                    first_sample += size

    def stop(self) -> None:
        """Do nothing: the source ends at its end."""


def calibrated(model: LoadedModel, negatives: Sequence[Path]) -> LoadedModel:
    """The network at thresholds that `soundwatch calibrate` chooses on the ambience; 1 for never."""
    scores = list(score_windows(Place(negatives), model))
    calibration = calibrate(scores, build_rules(DetectionConfig(), model.contract), model.contract, TARGET_PER_H)
    thresholds = {label: item.threshold or 1.0 for label, item in calibration.classes.items()}
    return replace(model, contract=msgspec.structs.replace(model.contract, thresholds=thresholds))


def put_on_trial(
    model: LoadedModel,
    trial: Trial,
    run: RunRecord | None,
    arguments: argparse.Namespace,
    snrs_db: Sequence[float] = SNRS_DB,
) -> Report:
    """Run the held-out fold of a run, or negatives only; the shipped model gets all negatives."""
    minutes, seed = arguments.minutes or 60.0, 1
    others = negatives_to_test(arguments.negatives) if run else split_negatives(*arguments.negatives)[1]
    if trial == "open-set" or run is None:
        return evaluate_openset(model, others, others, True, minutes, seed, CONSOLE)
    data = labeled_clips(split_by_folds(arguments.data, run.plan.test_folds, ()))
    if trial == "street":
        return evaluate_street(model, foreground_clips(arguments.data, data), others, snrs_db, minutes, seed, CONSOLE)
    clips = np.random.default_rng(seed).permutation(len(data.clips))[: arguments.limit]
    return evaluate_robustness(
        model, replace(data, clips=tuple(data.clips[place] for place in sorted(clips))), seed, CONSOLE
    )


def describe(classifier: LoadedModel, run: RunRecord | None, thresholds: str, report: Report) -> dict[str, Any]:
    """An entry of the results; without a run it is what ships."""
    provenance = classifier.contract.provenance
    return {
        "recipe": provenance.recipe,
        "trained_on": provenance.data,
        "holds_back_folds": run.plan.test_folds if run else (),
        "thresholds": thresholds,
        "report": report,
    }


def write(trial: Trial, entries: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    words = ["python benchmarks/trials.py --data DIR", *["--negatives DIR"] * len(arguments.negatives)]
    words += [f"--{name} {value}" for name in ("shipped", "minutes", "limit") if (value := getattr(arguments, name))]
    results = {
        **provenance(" ".join([*words, *(f"runs/{folder.name}" for folder in arguments.runs)])),
        "entries": entries,
    }
    write_results(TRIALS[trial], results, TABLES[TRIALS[trial]])


if __name__ == "__main__":
    main()
