"""Found sounds against false events an hour on test sounds, compared with YAMNet under two programs' rules.

Run `python benchmarks/false_events.py --data DIR --sounds DIR --cache DIR --yamnet FILE --network RUN1 --network RUN2`
with networks of one recipe, each with held-out folds; it writes results/false-events.json. Score tracks are kept in
`--cache`. One core needs some minutes a network, twenty for YAMNet.

Conventions: streets and sounds of `soundwatch evaluate --street --sounds` whose role is test_recordings or test_kinds.
Thresholds of a cross-validated network are chosen as for the shipped model: on its training folds and on validation
sounds, at each price of `PRICES`; it is tested on its held-out fold. Those of YAMNet are chosen on fold 2, for fold 1,
among thresholds down to 0.002; both rules also run with one threshold for all classes. `--model` is tested with its own
thresholds; it was trained on the folds, so only its false events are valid. Every system's events are matched within
one collar of 5 s.
Does not: train.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from false_events_tables import TABLES
from harness import option_parser, provenance, write_results
from rich.console import Console
from yamnet import YamNetScorer, by_frigate, by_yamcam

from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.training.data.datasets.everyday_sounds import EverydayClip, Role, read_everyday_sounds
from soundwatch.training.evaluation.detection.offline_detection import recording_blocks
from soundwatch.training.evaluation.detection.score_track import Detection, Track, detect_in, score_track, stored_track
from soundwatch.training.evaluation.streets.busy_street import Material, Target, plan_scene
from soundwatch.training.evaluation.streets.event_counts import (
    GRID,
    SceneCounts,
    count_scene,
    mean_rates,
    pool,
    raised_by_clips,
)
from soundwatch.training.evaluation.streets.event_report import TEST_ROLES, count_figures, raised_share
from soundwatch.training.evaluation.streets.held_out import hold_out, open_network
from soundwatch.training.evaluation.streets.scene_audio import render_scene
from soundwatch.training.evaluation.streets.street_events import (
    SCENARIOS,
    negatives_by_group,
    scene_specs,
    street_material,
)
from soundwatch.training.evaluation.thresholds.price import Evidence, choose_by_price
from soundwatch.training.model.labels import LABELS

PRICES: Final = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
SHIPPED_PRICE: Final = 0.01
LOW_GRID: Final = (*np.round(np.geomspace(0.002, 0.999, 40), 4).tolist(), 1.1)
VALIDATION: Final[tuple[Role, ...]] = ("validation",)
WINDOW_S, HOP_S = 4.0, 1.0
SEED: Final = 1
CONSOLE: Final = Console(stderr=True)

Detect = Callable[[Track, Sequence[float]], list[Detection]]


@dataclass(frozen=True, slots=True)
class System:
    """Scores and a rule, with clips of folds that it has not learned from.

    Attributes:
        key: Of its tracks in the cache.
        score: A sound's track.
        detect: Events of a track at thresholds.
        targets: Of the folds.
        folds: Of UrbanSound8K.
        grid: Thresholds to choose among.
    """

    key: str
    score: Callable[[Any], Track]
    detect: Detect
    targets: tuple[Target, ...]
    folds: tuple[int, ...]
    grid: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """Test sounds of every system."""

    sounds: tuple[EverydayClip, ...]
    minutes: float
    cache: Path

    def track(self, system: System, name: str, blocks: Callable[[], Any]) -> Track:
        """Return a track, from the cache where it is there."""
        return stored_track(self.cache / system.key, name, lambda: system.score(blocks()))

    def streets(
        self, system: System, roles: tuple[Role, ...], rows: Sequence[Sequence[float]]
    ) -> tuple[list[SceneCounts], list[int]]:
        """Counts of each scenario at rows of thresholds, and how many backgrounds each had."""
        material: Material = street_material(system.targets, self.sounds, roles)
        specs = scene_specs(self.minutes, SEED)
        counts, backgrounds = [], []
        size = len(specs) // len(SCENARIOS)
        for place in range(len(SCENARIOS)):
            parts, recordings = [], set()
            for spec in specs[place * size : (place + 1) * size]:
                scene = plan_scene(material, spec)
                track = self.track(system, f"{roles} {system.folds} {spec}", partial(render_scene, scene))
                detections = [system.detect(track, row) for row in rows]
                parts.append(count_scene(scene, detections, LABELS, WINDOW_S, HOP_S))
                recordings |= {background.recording for background in scene.backgrounds}
            counts.append(pool(parts))
            backgrounds.append(len(recordings))
        return counts, backgrounds

    def raised(self, system: System, clips: Sequence[EverydayClip], rows: Sequence[Sequence[float]]) -> Any:
        """Return the clips that raise each class at each threshold (T, K, N)."""
        tracks = (self.track(system, f"clip {clip.file}", partial(recording_blocks, clip.path)) for clip in clips)
        return raised_by_clips(clips, ([system.detect(t, row) for row in rows] for t in tracks), LABELS, len(rows))


def network_system(classifier: Classifier, targets: tuple[Target, ...], folds: tuple[int, ...]) -> System:
    """Evaluate a network with the daemon's decision."""
    contract: ModelContract = classifier.contract
    assert contract.labels == LABELS
    return System(
        contract.weights_sha256[:12],
        lambda blocks: score_track(blocks, classifier),
        lambda track, thresholds: detect_in(track, contract, thresholds),
        targets,
        folds,
        GRID,
    )


def evidence_of(bench: Bench, systems: Sequence[System]) -> Evidence:
    """Counts of validation streets and sounds at every threshold of the systems' grid."""
    clips = [clip for clip in bench.sounds if clip.role in VALIDATION and clip.is_clean_negative]
    recordings = np.unique([clip.recording for clip in clips], return_inverse=True)[1]
    grid = systems[0].grid
    rows = [[threshold] * len(LABELS) for threshold in grid]
    scenes = [bench.streets(system, VALIDATION, rows)[0] for system in systems]
    return Evidence(
        tuple(pool(parts) for parts in zip(*scenes, strict=True)),
        np.concatenate([bench.raised(system, clips, rows) for system in systems], axis=2),
        np.tile(recordings, len(systems)),
        grid,
    )


def figures(
    bench: Bench, name: str, systems: Sequence[System], thresholds: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """Count the results of systems on the test sounds, with their own thresholds."""
    streets = [bench.streets(system, TEST_ROLES, [row]) for system, row in zip(systems, thresholds, strict=True)]
    pooled = [pool([counts[place] for counts, _ in streets]) for place in range(len(SCENARIOS))]
    named = dict(zip(LABELS, np.mean(thresholds, axis=0).round(3).tolist(), strict=True))
    scenarios = [
        count_figures(counts, snr_db, rate, streets[0][1][place], named, SEED)
        for place, (counts, (snr_db, rate)) in enumerate(zip(pooled, SCENARIOS, strict=True))
    ]
    raised = {}
    for group, clips in negatives_by_group(bench.sounds, TEST_ROLES).items():
        parts = [bench.raised(system, clips, [row])[0] for system, row in zip(systems, thresholds, strict=True)]
        raised[group] = raised_share([*clips] * len(systems), np.concatenate(parts, axis=1), LABELS)
    return {"name": name, "scenarios": scenarios, "raised": raised}


def sweep(
    bench: Bench,
    name: str,
    systems: Sequence[System],
    choosers: Sequence[Sequence[System]],
    prices: Sequence[float],
) -> list[dict[str, Any]]:
    """Figures at each price, each system's thresholds chosen on what its choosers give on validation sounds."""
    evidences = [evidence_of(bench, chooser) for chooser in choosers]
    points = []
    for price in prices:
        chosen = [choose_by_price(evidence, price, SEED).thresholds for evidence in evidences]
        points.append({"price": price, **figures(bench, name, systems, chosen)})
        print_progress(points[-1])
    return points


def print_progress(entry: dict[str, Any]) -> None:
    """Print a line of progress."""
    first = entry["scenarios"][0]
    shares = ", ".join(f"{group} {100 * value.share.value:.1f} %" for group, value in entry["raised"].items())
    CONSOLE.print(
        f"{entry['name']} {entry.get('price', '')}: found {first.found.value:.3f}, {first.false_per_h.value:.1f}/h, "
        f"{shares}"
    )


def curves(bench: Bench, systems: Sequence[System]) -> dict[str, list[tuple[float, float, float]]]:
    """Per class, (threshold, found, false events an hour) on the test streets, the mean over scenarios."""
    grid = systems[0].grid
    rows = [[threshold] * len(LABELS) for threshold in grid]
    streets = [bench.streets(system, TEST_ROLES, rows)[0] for system in systems]
    found, false = mean_rates([pool(parts) for parts in zip(*streets, strict=True)])
    return {
        label: [(t, round(float(found[i, k]), 4), round(float(false[i, k]), 3)) for i, t in enumerate(grid)]
        for k, label in enumerate(LABELS)
    }


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--yamnet", type=Path)
    parser.add_argument(
        "--network", action="append", required=True, help="a run, checkpoint or file that holds folds back"
    )
    parser.add_argument("--model", default="urban", help="what ships")
    parser.add_argument("--prices", type=float, nargs="+", default=PRICES)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--cache", type=Path, required=True)
    arguments = parser.parse_args()
    bench = Bench(read_everyday_sounds(arguments.sounds), arguments.minutes, arguments.cache)
    entries: list[dict[str, Any]] = []
    drawn: dict[str, Any] = {}
    held_out = [hold_out(open_network(network), arguments.data, None) for network in arguments.network]
    networks = [network_system(item.classifier, item.targets, item.folds) for item in held_out]
    learned_from = [
        hold_out(item.classifier, arguments.data, item.classifier.contract.provenance.folds) for item in held_out
    ]
    choosers = [[network_system(item.classifier, item.targets, item.folds)] for item in learned_from]
    entries += sweep(bench, "cross-validated", networks, choosers, arguments.prices)
    drawn["cross-validated"] = curves(bench, networks)
    shipped = open_network(arguments.model)
    learned = hold_out(shipped, arguments.data, (1, 2, 3))
    own = network_system(shipped, learned.targets, learned.folds)
    entries.append(figures(bench, "shipped", [own], [[shipped.contract.thresholds[label] for label in LABELS]]))
    print_progress(entries[-1])
    drawn["shipped"] = curves(bench, [own])
    if arguments.yamnet:
        scorer = YamNetScorer(arguments.yamnet)
        for name, rule in (("YAMNet, Frigate's rule", by_frigate), ("YAMNet, yamcam's rule", by_yamcam)):
            peer, chooser = (
                System("yamnet", scorer.score, rule, clips.targets, clips.folds, LOW_GRID)
                for clips in (hold_out(shipped, arguments.data, (fold,)) for fold in (1, 2))
            )
            entries += sweep(bench, name, [peer], [[chooser]], arguments.prices)
            for threshold in (0.1, 0.3, 0.5, 0.8):
                entries.append({"threshold": threshold, **figures(bench, name, [peer], [[threshold] * len(LABELS)])})
                print_progress(entries[-1])
            drawn[name] = curves(bench, [peer])
    command = "python benchmarks/false_events.py --data DIR --sounds DIR --yamnet YAMNET"
    command += "".join(f" --network runs/{Path(network).name}" for network in arguments.network)
    results = provenance(command) | {
        "shipped": shipped.contract.identity,
        "networks": [item.classifier.contract.identity for item in held_out],
        "shipped_price": SHIPPED_PRICE,
        "entries": entries,
        "curves": drawn,
    }
    write_results("false-events", results, TABLES["false-events"])


if __name__ == "__main__":
    main()
