"""Own sounds by the commands of the documentation: targets found and other sounds that raise an event.

    python benchmarks/own_sounds.py --sounds DIR --classes baby_cry,cow,crickets

DIR has a `metadata.csv` with the columns file, kind, recording and licence, a row per clip. Each class gives 25 clips
to learn from, all of them (`--test-share 0`), and 14 to find, of other recordings; a hash of the recording decides.
Three models are trained. The first has all other sounds that ship with the default model, as a user's has, and all
clips of recordings that do not ship, by their licence, are played. A hash divides all other kinds into halves: the
second and third model have the other sounds of one half alone (`--leave-out` names those of the other), and the clips
of the other half are played. Thresholds are those of `train`, which never has a recording or a kind that is played.
Clips are not played if a word of --exclude is in their kind or in their label column `yamnet_top`, since they may hold
a class. Of `night_ambience`, spectrograms of 6 of the 12 clips were looked at: those of three recordings show the bands
of crickets, that of a fourth does not; the whole kind is excluded. A finished run in --out is scored again and not
trained again. Writes benchmarks/results/own_sounds.json.
"""

from __future__ import annotations

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

from harness import Results, Table, machine_of, option_parser, provenance, table, write_results

from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.inference.classifier import load_classifier_file, resolve_model
from soundwatch.training.data.datasets.other_sounds import may_ship, read_other_sounds
from soundwatch.training.data.windows.cache import decode
from soundwatch.training.evaluation.detection.offline_detection import MemorySource
from soundwatch.training.evaluation.detection.score_track import Track, detect_in, score_track
from soundwatch.training.evaluation.streets.held_out import open_network

LEARNED: Final = 25
TESTED: Final = 14
GRID: Final = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WAYS: Final = {
    "shipped": ("all that ship", None),
    "first": ("the first half of the kinds", 1),
    "second": ("the second half of the kinds", 0),
}  # the half that is played; None for recordings that do not ship

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Sides:
    """Clips of the experiment, by use."""

    learned: list[Row]
    tested: list[Row]
    foreign: list[Row]

    def played(self, half: int | None) -> list[Row]:
        """Return the foreign clips of a half of the kinds, or for None those of recordings that do not ship."""
        if half is not None:
            return [row for row in self.foreign if half_of(row["kind"]) == half]
        ships = {(row["kind"], row["recording"]) for row in self.foreign if may_ship(row["licence"])}
        return [row for row in self.foreign if (row["kind"], row["recording"]) not in ships]


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
    foreign = [
        row
        for row in rows
        if row["kind"] not in classes and not words.search(f"{row['kind']} {row.get('yamnet_top', '')}")
    ]
    return Sides(learned, tested, foreign)


def half_of(kind: str) -> int:
    """Return the half of a kind, 0 or 1."""
    return int(digest(f"half {kind}")[:2], 16) % 2


def copy(rows: Iterable[Row], source: Path, folder: Path) -> Path:
    """Copy clips to a folder per kind; a name begins with the number of its recording."""
    numbers = dict[str, int]()
    for row in rows:
        number = numbers.setdefault(row["recording"], len(numbers))
        target = folder / row["kind"] / f"{number}x-{Path(row['file']).name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / row["file"], target)
    return folder


def train(sounds: Path, out: Path, played: int | None) -> None:
    """Train by the command of the documentation without the kinds that are played, unless the run is there."""
    if (out / "open-set.json").exists():
        return
    command = [sys.executable, "-m", "soundwatch.training", "train", "--data", str(sounds), "--layout", "folders"]
    command += ["--test-share", "0", "--init-from", "urban", "--out", str(out)]
    for kind in shipped_kinds():
        if half_of(kind) == played:
            command += ["--leave-out", kind]
    subprocess.run(command, check=True)


def shipped_kinds() -> tuple[str, ...]:
    """Return the kinds of the other sounds that ship with the default model."""
    contract = load_classifier_file(resolve_model("urban"), "cpu").contract
    others = read_other_sounds(contract.weights_sha256)
    if others is None:
        raise SystemExit("No other sounds ship with the default model; run scripts/other_sounds.py.")
    return others.kinds


def tracks(classifier: Classifier, rows: Iterable[Row], source: Path) -> list[Track]:
    """Score clips as the daemon does."""
    spec = classifier.contract.features
    return [
        score_track(MemorySource(decode(source / row["file"], spec), spec.rate_hz).to_its_end(), classifier)
        for row in rows
    ]


def measure(classifier: Classifier, sides: Sides, played: int | None, source: Path) -> dict[str, Any]:
    """Count targets found and foreign sounds that raise an event, at the chosen thresholds and at others."""
    contract = classifier.contract
    tested = tracks(classifier, sides.tested, source)
    rows = sides.played(played)
    foreign = tracks(classifier, rows, source)

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
        "foreign": len(foreign),
        "foreign_kinds": len({row["kind"] for row in rows}),
        "grid": {str(value): at([value] * len(contract.labels)) for value in GRID},
    }


def render(results: Results) -> Table:
    """Render the table of the documentation."""
    tested = results["tested"]

    def cell(way: dict[str, Any], counts: dict[str, int]) -> str:
        return f"{counts['found']} of {tested}, {100 * counts['raised'] / way['foreign']:.1f} %"

    rows = [
        [WAYS[name][0], cell(way, way["chosen"]), *(cell(way, way["grid"][value]) for value in ("0.3", "0.5", "0.8"))]
        for name, way in results["ways"].items()
    ]
    played = ", ".join(f"{way['foreign']} clips of {way['foreign_kinds']} kinds" for way in results["ways"].values())
    note = (
        f"Clips found, and share of {played} that raise an event, row by row; no training and no threshold had a "
        "recording that was played, nor, in the second and third row, a kind. "
        f"{results['learned']} clips to learn from, classes {', '.join(results['classes'])}. "
        f"{machine_of(results)}"
    )
    headings = ["other sounds to learn from", "at the chosen thresholds", "all at 0.3", "all at 0.5", "all at 0.8"]
    return table(headings, rows, note)


TABLES: Final = {"own_sounds": {"own-sounds": render}}


def main() -> None:
    """Divide, train, measure and write."""
    parser = option_parser(__doc__)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--classes", required=True)
    parser.add_argument("--exclude", default="baby cry|crying|cattle|moo\\b|cricket|insect|cowbell|night_ambience")
    parser.add_argument("--out", type=Path, default=Path("runs/own-sounds"))
    options = parser.parse_args()
    classes = options.classes.split(",")
    with (options.sounds / "metadata.csv").open(newline="", encoding="utf-8") as file:
        sides = divide([*csv.DictReader(file)], classes, options.exclude)
    sounds = options.out / "data" / "sounds"
    if not sounds.exists():
        copy(sides.learned, options.sounds, sounds)
    ways = dict[str, Any]()
    for name, (_, played) in WAYS.items():
        train(sounds, options.out / name, played)
        ways[name] = measure(open_network(options.out / name), sides, played, options.sounds)
    results = provenance(f"python benchmarks/own_sounds.py --sounds DIR --classes {options.classes}") | {
        "classes": classes,
        "learned": len(sides.learned),
        "tested": len(sides.tested),
        "ways": ways,
    }
    write_results("own_sounds", results, TABLES["own_sounds"])


if __name__ == "__main__":
    main()
