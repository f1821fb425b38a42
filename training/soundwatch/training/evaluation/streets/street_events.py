"""Streets and everyday sounds scored by a model: clips, scenes and score tracks.

Conventions: scenarios are pairs of a signal-to-noise ratio and hard negatives per hour. Each is a chain of scenes of
`SCENE_MINUTES` with their own seeds; one seed gives equal scenes for every model. Negatives are
also scored one by one, each from its start to its end.
Does not: select thresholds (`evaluation/thresholds/street.py`), or report (`event_report.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.training.data.datasets.everyday_sounds import STREET_KIND, EverydayClip, Role
from soundwatch.training.evaluation.detection.offline_detection import recording_blocks
from soundwatch.training.evaluation.detection.score_track import Track, cached_track, detect_in
from soundwatch.training.evaluation.streets.busy_street import Material, Scene, SceneSpec, Target, plan_scene
from soundwatch.training.evaluation.streets.event_counts import SceneCounts, count_scene, pool
from soundwatch.training.evaluation.streets.scene_audio import render_scene

SCENARIOS: Final = ((10.0, 130.0), (10.0, 220.0), (0.0, 130.0))
SCENE_MINUTES: Final = 20
STREET_GROUP: Final = "New York streets"
_BACKGROUND_TAGS: Final = frozenset({"human_voice", "non_machinery_impact", "engine"})


@dataclass(frozen=True, slots=True)
class ScoredStreet:
    """Scenes of one scenario with a model's scores."""

    snr_db: float
    negatives_per_h: float
    scenes: tuple[tuple[Scene, Track], ...]

    @property
    def backgrounds(self) -> int:
        """Number of background recordings."""
        return len({background.recording for scene, _ in self.scenes for background in scene.backgrounds})

    def count(self, contract: ModelContract, thresholds: Sequence[Sequence[float]]) -> SceneCounts:
        """Count targets and false events at each of T lists of thresholds, one per class."""
        spec = contract.features
        window_s, hop_s = spec.window_ms / 1000, spec.window_hop_samples / spec.rate_hz
        return pool(
            [
                count_scene(
                    scene,
                    [detect_in(scores, contract, threshold) for threshold in thresholds],
                    contract.labels,
                    window_s,
                    hop_s,
                )
                for scene, scores in self.scenes
            ]
        )


def street_material(targets: Sequence[Target], sounds: Sequence[EverydayClip], roles: Sequence[Role]) -> Material:
    """Collect the clips for scenes: these targets and those of the sounds, negatives and backgrounds."""
    chosen = [clip for clip in sounds if clip.role in roles]
    own = tuple(Target(clip.path, clip.label, clip.recording) for clip in chosen if clip.label is not None)
    backgrounds = tuple(clip for clip in chosen if clip.is_background and clip.tags <= _BACKGROUND_TAGS)
    return Material((*targets, *own), tuple(clip for clip in chosen if clip.is_negative), backgrounds)


def scene_specs(minutes: float, seed: int) -> list[SceneSpec]:
    """List the scenes of each scenario in order."""
    count = max(1, round(minutes / SCENE_MINUTES))
    return [
        SceneSpec(minutes / count, snr_db, rate, seed * 1000 + number)
        for snr_db, rate in SCENARIOS
        for number in range(count)
    ]


def score_streets(
    classifier: Classifier,
    material: Material,
    minutes: float,
    seed: int,
    console: Console,
    name: str = "",
    cache: Path | None = None,
) -> tuple[ScoredStreet, ...]:
    """Score the scenes of every scenario.

    Args:
        classifier: Model to evaluate.
        material: Clips for the scenes.
        minutes: Length of a scenario.
        seed: Random seed.
        console: Console for the progress.
        name: Name of the material in the cache.
        cache: Folder for the scores; None caches nothing.

    Raises:
        DataError: The material is too small for a scene, or a clip cannot be read.
    """
    specs = scene_specs(minutes, seed)
    count = len(specs) // len(SCENARIOS)
    scored = []
    for spec in track(specs, "Streets", console=console):
        scene = plan_scene(material, spec)
        scored.append((scene, cached_track(f"{name} {spec}", partial(render_scene, scene), classifier, cache)))
    return tuple(
        ScoredStreet(snr_db, rate, tuple(scored[place * count : (place + 1) * count]))
        for place, (snr_db, rate) in enumerate(SCENARIOS)
    )


def score_clips(
    classifier: Classifier, clips: Sequence[EverydayClip], console: Console, cache: Path | None = None
) -> list[Track]:
    """Score each clip alone, from its start to its end.

    Raises:
        DataError: A clip cannot be read.
    """
    return [
        cached_track(f"clip {clip.file}", partial(recording_blocks, clip.path), classifier, cache)
        for clip in track(clips, "Everyday sounds", console=console)
    ]


def negatives_by_group(sounds: Sequence[EverydayClip], roles: Sequence[Role]) -> dict[str, list[EverydayClip]]:
    """Group the negatives by role, with a group of street recordings whose tags name no class."""
    groups: dict[str, list[EverydayClip]] = {
        role: [clip for clip in sounds if clip.role == role and clip.label is None and clip.kind != STREET_KIND]
        for role in roles
    }
    groups[STREET_GROUP] = [clip for clip in sounds if clip.role in roles and clip.names_no_target]
    return {name: clips for name, clips in groups.items() if clips}
