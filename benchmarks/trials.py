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
from harness import Results, Table, machine_of, provenance, share, table, write_results
from rich.console import Console

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

RESULTS: Final = Path(__file__).parent / "results"
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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


def heard_negatives(folders: Sequence[Path]) -> tuple[Clip, ...]:
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
        kinds, _ = ambiences(heard_negatives(self.negatives), OTHER_SEED)
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
    others = heard_negatives(arguments.negatives) if run else split_negatives(*arguments.negatives)[1]
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


def network_title(entry: Results) -> str:
    """A tested network with its held-out data."""
    folds = ", ".join(map(str, entry["holds_back_folds"]))
    return f"`{entry['recipe']}` without fold {folds}" if folds else f"`{entry['recipe']}` as shipped"


def by_thresholds(results: Results) -> dict[str, list[Results]]:
    """Entries under what their thresholds are."""
    kinds = dict.fromkeys(entry["thresholds"] for entry in results["entries"])
    return {kind: [entry for entry in results["entries"] if entry["thresholds"] == kind] for kind in kinds}


def models(entries: list[Results]) -> str:
    """The identities of the networks."""
    names = {f"`{entry['report']['model']}` ({network_title(entry)})": None for entry in entries}
    return ", ".join(names)


def together(founds: list[Results]) -> tuple[str, str, str]:
    """Recall, precision and F1 of several scenes as one."""
    there, told, right = (sum(found[key] for found in founds) for key in ("there", "told", "right"))
    shares = (right / there if there else None, right / told if told else None, 2 * right / max(1, there + told))
    recall, precision, f1 = ("none" if value is None else share(value) for value in shares)
    return recall, precision, f1


def street_table(results: Results) -> Table:
    """A row for each kind of thresholds and each ratio, all scenes as one; in brackets each of them."""
    rows = []
    for thresholds, entries in by_thresholds(results).items():
        for levels in zip(*(entry["report"]["levels"] for entry in entries), strict=True):
            recall, precision, f1 = together([level["found"] for level in levels])
            hours = sum(level["hours"] for level in levels)
            false, alone = (
                sum(level[key] * level["hours"] for level in levels) / hours
                for key in ("false_events_per_h", "false_events_alone_per_h")
            )
            waits = [level["latency_s"] for level in levels if level["latency_s"]]
            rows.append(
                (
                    thresholds,
                    f"{levels[0]['snr_db']:g} dB",
                    f"{recall} ({', '.join(share(level['found']['recall']) for level in levels)})",
                    precision,
                    f1,
                    together([level["found_tight"] for level in levels])[0],
                    f"{false:.1f}",
                    f"{alone:.1f}",
                    *(", ".join(f"{wait[key]:.1f}" for wait in waits) for key in ("median", "p95")),
                    ", ".join(f"{level['onset_late_s']['median']:.1f}" for level in levels if level["onset_late_s"]),
                )
            )
    headings = ("thresholds", "SNR", "found (each fold)", "right", "F1", "found, tight collar", "false events/h")
    more = ("of them far from any clip", "latency, median s", "95 %, s", "onset put late by, median s")
    clips = sum(entry["report"]["clips"] for entry in next(iter(by_thresholds(results).values())))
    heard = f"{clips} clips at each ratio; {models(results['entries'])}"
    return table((*headings, *more), rows, f"{heard}. {machine_of(results)}")


def street_classes_table(results: Results) -> Table:
    """Return a row for each class, all scenes as one: the share found at each ratio, at the second the share right."""
    entries = next(iter(by_thresholds(results).values()))
    levels = list(zip(*(entry["report"]["levels"] for entry in entries), strict=True))
    rows = []
    for label in levels[0][0]["classes"]:
        found = [together([scene["classes"][label] for scene in scenes]) for scenes in levels]
        clips = sum(scene["classes"][label]["there"] for scene in levels[0])
        rows.append((label, str(clips), *(recall for recall, _, _ in found), found[1][1]))
    ratios = [f"{scenes[0]['snr_db']:g} dB" for scenes in levels]
    return table(("class", "clips", *(f"found, {ratio}" for ratio in ratios), f"right, {ratios[1]}"), rows)


def openset_table(results: Results) -> Table:
    """Return a row for each network: other sounds that raise an event, and false events an hour of ambience."""
    rows = []
    for entry in results["entries"]:
        report = entry["report"]
        low, high = (f"{100 * report[f'raised_share_{end}']:.0f}" for end in ("low", "high"))
        rows.append(
            (
                network_title(entry),
                entry["thresholds"],
                f"{report['negatives']['raised']} of {report['negatives']['recordings']}",
                f"{100 * report['raised_share']:.1f} % ({low} to {high} %)",
                f"{report['ambience_h'] * 60:.0f} min",
                f"{report['false_events_per_h']:.1f} (below {report['false_events_per_h_high']:.1f})",
                f"{without_babble(report['ambience']):.1f}",
            )
        )
    headings = ("network", "thresholds", "raise an event", "share (95 % confidence)", "ambience", "false events/h")
    return table((*headings, "without babble"), rows, f"{models(results['entries'])}. {machine_of(results)}")


def without_babble(parts: list[Results]) -> float:
    """False events an hour in the ambience but for babble."""
    quiet = [part for part in parts if part["kind"] != "babble"]
    events = sum(sum(part["events"].values()) for part in quiet)
    return float(events / sum(part["minutes"] for part in quiet) * 60)


def columns(results: Results) -> list[str]:
    """A heading for each network and its thresholds."""
    return [f"{network_title(entry)}, {entry['thresholds']}" for entry in results["entries"]]


def openset_kinds_table(results: Results) -> Table:
    """Return a row for each kind of recording that raised an event in some network."""
    reports = [entry["report"] for entry in results["entries"]]
    kinds = sorted({kind for report in reports for kind, counts in report["kinds"].items() if counts["raised"]})
    raised = {kind: [str(report["kinds"][kind]["raised"]) for report in reports] for kind in kinds}
    heard = reports[0]["kinds"]
    return table(
        ("kind", "recordings", *columns(results)),
        ((kind, str(heard[kind]["recordings"]), *raised[kind]) for kind in kinds),
    )


def ambience_table(results: Results) -> Table:
    """Return a row for each part of the ambience: the events it raised in each network."""
    rows = []
    for parts in zip(*(entry["report"]["ambience"] for entry in results["entries"]), strict=True):
        level = "" if parts[0]["level_dbfs"] is None else f"{parts[0]['level_dbfs']:g} dBFS"
        told = [", ".join(f"{n} {label}" for label, n in part["events"].items()) or "none" for part in parts]
        rows.append((parts[0]["kind"], level, f"{parts[0]['minutes']:.0f} min", *told))
    return table(("kind", "level", "length", *columns(results)), rows)


def verdict(change: float, error: float) -> str:
    """Describe whether a change costs at most two points, within its error."""
    if abs(change + 2) < error:
        return "too near to say"
    return "yes" if change > -2 else "**no**"


def robustness_table(results: Results) -> Table:
    """Return a row for each condition: the change in accuracy of each network, and of both together."""
    reports = [entry["report"] for entry in results["entries"]]
    clips = sum(report["clips"] for report in reports)
    rows = []
    for changes in zip(*(report["changes"] for report in reports), strict=True):
        lost, gained = (sum(change[key] for change in changes) for key in ("lost", "gained"))
        both, error = 100 * (gained - lost) / clips, 100 * (gained + lost) ** 0.5 / clips
        limit = verdict(both, error) if changes[0]["limited"] else ""
        shown = (f"{change['change_points']:+.1f}" for change in changes)
        rows.append((changes[0]["name"], changes[0]["group"], *shown, f"{both:+.1f} ± {error:.1f}", limit))
    names = [f"fold {', '.join(map(str, report['folds']))} ({share(report['accuracy'])} clean)" for report in reports]
    headings = ("condition", "kind", *names, f"all {clips} clips, points", "within 2 points")
    return table(headings, rows, f"{models(results['entries'])}. {machine_of(results)}")


TABLES: Final = {
    "street": {
        "street": street_table,
        "street-classes": street_classes_table,
    },
    "openset": {
        "openset": openset_table,
        "openset-kinds": openset_kinds_table,
        "ambience": ambience_table,
    },
    "robustness": {
        "robustness": robustness_table,
    },
}


if __name__ == "__main__":
    main()
