"""Own sounds by the commands of the documentation: targets found and other sounds that raise an event.

    python benchmarks/own_sounds.py --sounds DIR --classes baby_cry,cow,crickets

DIR has a `metadata.csv` with the columns file, kind and recording, a row per clip. Each class gives 25 clips to learn
from and 14 to find, of other recordings; a hash of the recording decides. A hash divides all other kinds into halves:
recordings of the first half are the negatives of the second way of training, and thresholds are chosen on them; the
second half is never learned from, and its share that raises an event is the figure. Clips in whose label column
`yamnet_top` a word of --exclude stands are left out of both halves, since they may hold a class. A finished run in
--out is scored again and not trained again. Writes benchmarks/results/own_sounds.json.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness import Results, Table, machine_of, provenance, table, write_results

from soundwatch.daemon.core.types import Classifier
from soundwatch.training.data.cache import decode
from soundwatch.training.evaluation.held_out import open_network
from soundwatch.training.evaluation.offline_detection import MemorySource
from soundwatch.training.evaluation.score_track import Track, detect_in, score_track

LEARNED: Final = 25
TESTED: Final = 14
GRID: Final = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WAYS: Final = {
    "synthetic": ("synthetic sounds alone", None),
    "recordings": ("synthetic sounds and recordings of other kinds, 8 epochs, so the head alone", 8),
}  # with the epochs instead of the recipe's

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Sides:
    """Clips of the experiment, by use."""

    learned: list[Row]
    tested: list[Row]
    negatives: list[Row]
    foreign: list[Row]


def digest(text: str) -> str:
    """Return a hash that sorts and divides by name alone."""
    return hashlib.sha256(text.encode()).hexdigest()


def divide(rows: Sequence[Row], classes: Sequence[str], exclude: str) -> Sides:
    """Divide the clips; whole recordings to learn from until there are enough clips."""
    learned, tested = list[Row](), list[Row]()
    for label in classes:
        recordings = defaultdict[str, list[Row]](list)
        for row in rows:
            if row["kind"] == label:
                recordings[row["recording"]].append(row)
        own, rest = list[Row](), list[Row]()
        for name in sorted(recordings, key=digest):
            fits = len(own) + len(recordings[name]) <= LEARNED
            (own if fits and len(own) < LEARNED else rest).extend(recordings[name])
        learned += own
        tested += rest[:TESTED]
    words = re.compile(exclude, re.IGNORECASE)
    others = [row for row in rows if row["kind"] not in classes and not words.search(row.get("yamnet_top", ""))]
    second = {kind for kind in {row["kind"] for row in others} if int(digest(f"half {kind}")[:2], 16) % 2}
    return Sides(
        learned,
        tested,
        [row for row in others if row["kind"] not in second],
        [row for row in others if row["kind"] in second],
    )


def copy(rows: Iterable[Row], source: Path, folder: Path) -> Path:
    """Copy clips to a folder per kind; a name begins with the number of its recording."""
    numbers = dict[str, int]()
    for row in rows:
        number = numbers.setdefault(row["recording"], len(numbers))
        target = folder / row["kind"] / f"{number}x-{Path(row['file']).name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / row["file"], target)
    return folder


def train(sounds: Path, negatives: Path | None, out: Path, epochs: int | None) -> None:
    """Train by the command of the documentation, unless the run is there."""
    if (out / "open-set.json").exists():
        return
    command = [sys.executable, "-m", "soundwatch.training", "train", "--data", str(sounds), "--layout", "folders"]
    command += ["--init-from", "urban", "--out", str(out), *(["--negatives", str(negatives)] if negatives else [])]
    subprocess.run([*command, *(["--epochs", str(epochs)] if epochs else [])], check=True)


def tracks(classifier: Classifier, rows: Iterable[Row], source: Path) -> list[Track]:
    """Score clips as the daemon does."""
    spec = classifier.contract.features
    return [
        score_track(MemorySource(decode(source / row["file"], spec), spec.rate_hz).to_its_end(), classifier)
        for row in rows
    ]


def measure(classifier: Classifier, sides: Sides, source: Path) -> dict[str, Any]:
    """Count targets found and foreign sounds that raise an event, at the chosen thresholds and at others."""
    contract = classifier.contract
    tested, foreign = tracks(classifier, sides.tested, source), tracks(classifier, sides.foreign, source)

    def at(thresholds: Sequence[float]) -> dict[str, int]:
        found = sum(
            any(
                contract.labels[detection.class_id] == row["kind"]
                for detection in detect_in(track, contract, thresholds)
            )
            for row, track in zip(sides.tested, tested, strict=True)
        )
        return {"found": found, "raised": sum(bool(detect_in(track, contract, thresholds)) for track in foreign)}

    chosen = [contract.thresholds[label] for label in contract.labels]
    return {
        "thresholds": dict(contract.thresholds),
        "chosen": at(chosen),
        "grid": {str(value): at([value] * len(contract.labels)) for value in GRID},
    }


def render(results: Results) -> Table:
    """Render the table of the documentation."""
    tested, foreign = results["tested"], results["foreign"]

    def cell(counts: dict[str, int]) -> str:
        return f"{counts['found']} of {tested}, {100 * counts['raised'] / foreign:.1f} %"

    rows = [
        [WAYS[name][0], cell(way["chosen"]), *(cell(way["grid"][value]) for value in ("0.3", "0.5", "0.8"))]
        for name, way in results["ways"].items()
    ]
    note = (
        f"Clips found, and share of {foreign} clips of {results['foreign_kinds']} kinds that no training used and that "
        f"raise an event. {results['learned']} clips to learn from, classes {', '.join(results['classes'])}; "
        f"{results['negatives']} recordings of {results['negative_kinds']} other kinds. {machine_of(results)}"
    )
    headings = ["trained with", "at the chosen thresholds", "all at 0.3", "all at 0.5", "all at 0.8"]
    return table(headings, rows, note)


TABLES: Final = {"own_sounds": {"own-sounds": render}}


def main() -> None:
    """Divide, train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--classes", required=True)
    parser.add_argument("--exclude", default="baby cry|crying|cattle|moo\\b|cricket|insect|cowbell")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--out", type=Path, default=Path("runs/own-sounds"))
    options = parser.parse_args()
    classes = options.classes.split(",")
    with (options.sounds / "metadata.csv").open(newline="", encoding="utf-8") as file:
        sides = divide([*csv.DictReader(file)], classes, options.exclude)
    data = options.out / "data"
    if not data.exists():
        copy(sides.learned, options.sounds, data / "sounds")
        copy(sides.negatives, options.sounds, data / "negatives")
    ways = dict[str, Any]()
    for name in options.ways.split(","):
        train(data / "sounds", data / "negatives" if name == "recordings" else None, options.out / name, WAYS[name][1])
        ways[name] = measure(open_network(options.out / name), sides, options.sounds)
    results = provenance(f"python benchmarks/own_sounds.py --sounds DIR --classes {options.classes}") | {
        "classes": classes,
        "learned": len(sides.learned),
        "tested": len(sides.tested),
        "negatives": len(sides.negatives),
        "negative_kinds": len({row["kind"] for row in sides.negatives}),
        "foreign": len(sides.foreign),
        "foreign_kinds": len({row["kind"] for row in sides.foreign}),
        "ways": ways,
    }
    write_results("own_sounds", results, TABLES["own_sounds"])


if __name__ == "__main__":
    main()
