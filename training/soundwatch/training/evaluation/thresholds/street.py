"""Selection of thresholds on held-out streets and everyday sounds.

Conventions: the evidence comes from networks of one recipe, each with targets of its held-out folds, and
from the sounds with the role validation. It is combined, since the thresholds are those of the recipe. The contract
records the result on this evidence, which is better than the result at a new place.
Does not: know the selection rule (`price.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.model.operation import ClassOperation, OperatingPoint, Operation
from soundwatch.training.data.datasets.everyday_sounds import EverydayClip, Role
from soundwatch.training.evaluation.detection.score_track import detect_in
from soundwatch.training.evaluation.streets.event_counts import GRID, SceneCounts, mean_rates, pool, raised_by_clips
from soundwatch.training.evaluation.streets.event_report import CURVE_RATES_PER_H
from soundwatch.training.evaluation.streets.held_out import HeldOut
from soundwatch.training.evaluation.streets.street_events import score_clips, score_streets, street_material
from soundwatch.training.evaluation.thresholds.price import Evidence, choose_by_price

ROLES: Final[tuple[Role, ...]] = ("validation",)
UNSEEN_ROLES: Final[tuple[Role, ...]] = ("train", "validation")
MINUTES: Final = 120.0
SEED: Final = 7


def gather_evidence(
    networks: Sequence[HeldOut],
    sounds: Sequence[EverydayClip],
    roles: Sequence[Role],
    console: Console,
    cache: Path | None = None,
) -> Evidence:
    """Score streets and sounds of these roles with each network, and count at every threshold of the grid.

    Raises:
        DataError: There are too few clips for a street, or one cannot be read.
    """
    negatives = [clip for clip in sounds if clip.role in roles and clip.is_clean_negative]
    scenarios: list[list[SceneCounts]] = []
    raised = []
    for number, network in enumerate(networks):
        contract = network.classifier.contract
        rows = [[threshold] * len(contract.labels) for threshold in GRID]
        material = street_material(network.targets, sounds, roles)
        name = f"{roles} {network.folds}"
        streets = score_streets(network.classifier, material, MINUTES, SEED + number, console, name, cache)
        scenarios.append([street.count(contract, rows) for street in streets])
        tracks = score_clips(network.classifier, negatives, console, cache)
        detections = ([detect_in(track, contract, row) for row in rows] for track in tracks)
        raised.append(raised_by_clips(negatives, detections, contract.labels, len(rows)))
    recordings = np.unique([clip.recording for clip in negatives], return_inverse=True)[1]
    return Evidence(
        scenes=tuple(pool(parts) for parts in zip(*scenarios, strict=True)),
        raised=np.concatenate(raised, axis=2),
        recordings=np.tile(recordings, len(networks)),
    )


def choose_in_street(evidence: Evidence, contract: ModelContract, price: float, measured_on: str) -> ModelContract:
    """Select thresholds by the price, and return a contract with them and their result on the evidence."""
    chosen = choose_by_price(evidence, price, SEED)
    places = [GRID.index(threshold) for threshold in chosen.thresholds]
    found, false = mean_rates(evidence.scenes)
    classes = {
        label: ClassOperation(
            low=chosen.low[k],
            high=chosen.high[k],
            found=round(float(found[places[k], k]), 4),
            false_per_h=round(float(false[places[k], k]), 3),
            curve=_curve(found[:, k], false[:, k]),
        )
        for k, label in enumerate(contract.labels)
    }
    any_class = np.any([evidence.raised[place, k] for k, place in enumerate(places)], axis=0)
    operation = Operation(
        price=price,
        measured_on=measured_on,
        hours=round(sum(scene.hours for scene in evidence.scenes), 2),
        found=round(float(np.mean([class_.found for class_ in classes.values()])), 4),
        false_per_h=round(sum(class_.false_per_h for class_ in classes.values()), 3),
        clips=len(any_class),
        raised_share=round(float(any_class.mean()), 4),
        classes=classes,
    )
    thresholds = dict(zip(contract.labels, chosen.thresholds, strict=True))
    return msgspec.structs.replace(contract, thresholds=thresholds, operation=operation)


def _curve(found: NDArray[np.float64], false: NDArray[np.float64]) -> tuple[OperatingPoint, ...]:
    """Compute the largest share found at each of `CURVE_RATES_PER_H`, and its threshold."""
    points = []
    for rate in CURVE_RATES_PER_H:
        allowed = np.flatnonzero(false <= rate)  # never empty: a threshold of 1 raises nothing
        best = int(allowed[np.argmax(found[allowed])])
        points.append(OperatingPoint(threshold=GRID[best], found=round(float(found[best]), 4), false_per_h=rate))
    return tuple(points)


def describe_evidence(networks: Sequence[HeldOut], sounds: Sequence[EverydayClip], roles: Sequence[Role]) -> str:
    """Describe the evidence."""
    parts = []
    for network in networks:
        folds = ", ".join(map(str, network.folds))
        by_heart = " (learned from: the shares found are too high)" if network.learned else ""
        parts.append(f"targets of UrbanSound8K fold{'s' if len(network.folds) > 1 else ''} {folds}{by_heart}")
    clips = [clip for clip in sounds if clip.role in roles]
    recordings = len({clip.recording for clip in clips})
    words = f"backgrounds, negatives and targets of {recordings} recordings whose role is {' or '.join(roles)}"
    return "; ".join([*parts, words])
