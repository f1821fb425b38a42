"""Plan of the street mixes of a run.

Conventions: mixes of targets depend on their own fold and on sounds without a fold, so runs on other folds share
them. Negatives are drawn by kind, then by recording, so no kind and no recording dominates.
Does not: render (`street_mixes.py`).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from soundwatch.training.distillation.street_mixes import StreetMix, StreetSound
from soundwatch.training.model.street_recipe import StreetMixes

NEGATIVE_SECOND_SHARE = 0.5


def plan_mixes(sounds: Sequence[StreetSound], recipe: StreetMixes) -> list[StreetMix]:
    """Plan all mixes of a run: targets, negatives balanced by kind and recording, backgrounds alone, and knocks."""
    targets = [sound for sound in sounds if sound.clip.class_id is not None]
    negatives = [sound for sound in sounds if sound.clip.class_id is None and not sound.background]
    backgrounds = [sound for sound in sounds if sound.background]
    planner = _Planner(recipe, targets, negatives, backgrounds)
    mixes = [planner.mix(sound, number) for sound, count in _counted(targets, recipe) for number in range(count)]
    mixes += [
        planner.mix(sound, place) for place, sound in enumerate(_drawn(negatives, recipe.negative_mixes, recipe.seed))
    ]
    for place, sound in enumerate(_drawn(backgrounds, recipe.background_mixes, recipe.seed)):
        mixes.append(StreetMix((), sound, place, recipe.seed, recipe.snr_db))
    return mixes + [StreetMix((), None, place, recipe.seed, recipe.snr_db) for place in range(recipe.synthetic_mixes)]


class _Planner:
    """Random selection of the other parts of a mix."""

    def __init__(
        self,
        recipe: StreetMixes,
        targets: Sequence[StreetSound],
        negatives: Sequence[StreetSound],
        backgrounds: Sequence[StreetSound],
    ) -> None:
        self.recipe = recipe
        folds = {sound.clip.fold for sound in targets}
        self.targets = {fold: [other for other in targets if other.clip.fold in (fold, 0)] for fold in folds}
        # Long lists drawn once; a random index into them is a balanced draw.
        self.negatives = _drawn(negatives, 4 * len(negatives), recipe.seed + 1)
        self.backgrounds = _drawn(backgrounds, 4 * len(backgrounds), recipe.seed + 1)

    def mix(self, sound: StreetSound, number: int) -> StreetMix:
        """Plan one mix of a sound; the draws depend on its name and number alone."""
        recipe = self.recipe
        rng = np.random.default_rng(_bits("street", sound.kind, sound.clip.path.name, number, recipe.seed))
        second, ground, kind = rng.random(3)
        sounds = [sound]
        if second < recipe.second_probability:
            pool = self.negatives
            if sound.clip.class_id is not None and kind >= NEGATIVE_SECOND_SHARE:
                pool = self.targets[sound.clip.fold]
            sounds += [pool[rng.integers(len(pool))]] if pool else []
        background = None
        if ground < recipe.background_probability and self.backgrounds:
            background = self.backgrounds[rng.integers(len(self.backgrounds))]
        return StreetMix(tuple(sounds), background, number, recipe.seed, recipe.snr_db)


def _counted(targets: Sequence[StreetSound], recipe: StreetMixes) -> list[tuple[StreetSound, int]]:
    """Return each target with its number of mixes, which is larger for a class with few clips in its fold."""
    counts: dict[tuple[int, int | None], int] = defaultdict(int)
    for sound in targets:
        counts[sound.clip.fold, sound.clip.class_id] += 1
    plenty = {fold: max(count for (of, _), count in counts.items() if of == fold) for fold, _ in counts}
    return [
        (sound, round(recipe.target_mixes * min(recipe.rare_factor, plenty[fold] / counts[fold, sound.clip.class_id])))
        for sound in targets
        for fold in (sound.clip.fold,)
    ]


def _drawn(sounds: Sequence[StreetSound], count: int, seed: int) -> list[StreetSound]:
    """Draw `count` sounds: a kind by the root of its number of recordings, then a recording, then a clip."""
    kinds: dict[str, dict[str, list[StreetSound]]] = defaultdict(lambda: defaultdict(list))
    for sound in sounds:
        kinds[sound.kind][sound.clip.recording].append(sound)
    if not kinds:
        return []
    rng = np.random.default_rng((seed, count))
    names = sorted(kinds)
    weights = np.sqrt([len(kinds[name]) for name in names])
    drawn = []
    for place in rng.choice(len(names), count, p=weights / weights.sum()):
        recordings = kinds[names[place]]
        clips = recordings[sorted(recordings)[rng.integers(len(recordings))]]
        drawn.append(clips[rng.integers(len(clips))])
    return drawn


def _bits(*words: object) -> int:
    """Return 32 random bits that depend on the words alone."""
    return int.from_bytes(hashlib.sha256(repr(words).encode()).digest()[:4])
