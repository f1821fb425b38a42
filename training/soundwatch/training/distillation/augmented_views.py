"""Augmented views of a clip, half of them mixed with another clip, as one window for student and teacher.

Conventions: samples are (1, S) float32. A view depends on its clip, its partner, its number and the seed
alone, so runs on other folds share it. Partners come from the fold of the clip or are negatives: no
view joins two folds. Targets (K,) are audibilities: 1 for a clip as loud as the other, 0 for one that is
`DROWNED_DB` quieter. So a siren over rain has the target 1, and two equally loud sounds both have 1.
Source: mixing at equal loudness and a random share is between-class learning (Tokozume et al. 2018), whose targets
are the shares; independent scores need no shares, and found fewer sounds in a street with them (0010).
Does not: mask mel decibels (`distillation/teacher_targets.py`), or change test clips.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.core.records.channels import to_mono
from soundwatch.training.data.audio.place import place_first
from soundwatch.training.data.datasets.negatives import colored_noise, synthetic_negative
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.augment import place_randomly, play_at
from soundwatch.training.model.recipe import Distillation

SPEEDS_PERCENT: Final = (85, 90, 95, 100, 100, 105, 110, 115)
NEGATIVE_SHARE: Final = 0.2
NOISE_PROBABILITY: Final = 0.3
NOISE_SNR_DB: Final = (5.0, 45.0)
KNOT_DB: Final = 3.0
DULL_PROBABILITY: Final = 0.15
THIN_PROBABILITY: Final = 0.15
DROWNED_DB: Final = 15.0
ROOM_PROBABILITY: Final = 0.15
ROOM_RT60_S: Final = (0.1, 0.8)
_KNOT_HZ: Final = np.geomspace(60.0, 11085.0, 8)
_QUIET: Final = 1e-6


@dataclass(frozen=True, slots=True)
class View:
    """Definition of one view.

    Attributes:
        clip: Clip of the view; None for synthetic noise or silence.
        partner: Second clip; None without a mix.
        number: Number of this view of the clip or noise, from 1; 0 is the unchanged clip.
        seed: Seed of the recipe.
    """

    clip: Clip | None
    partner: Clip | None
    number: int
    seed: int

    @property
    def clips(self) -> tuple[Clip, ...]:
        """All clips of the view."""
        return tuple(clip for clip in (self.clip, self.partner) if clip)

    @property
    def key(self) -> str:
        """Hash that identifies the view in every run."""
        names = [clip.path.name if clip else "" for clip in (self.clip, self.partner)]
        return hashlib.sha256(repr((names, self.number, self.seed)).encode()).hexdigest()

    @property
    def generator(self) -> np.random.Generator:
        """Return the random generator of this view."""
        return np.random.default_rng(int(self.key[:16], 16))

    @property
    def share(self) -> float:
        """Share of the clip in the mix with its partner, by amplitude at equal loudness."""
        return float(np.random.default_rng(int(self.key[16:32], 16)).random()) if self.partner else 1.0


def plan_views(clips: Sequence[Clip], recipe: Distillation, synthetic_share: float) -> list[View]:
    """Plan every unchanged clip, then its views, then `synthetic_share` of their number in synthetic noise."""
    seed = recipe.views_seed
    pools = {fold: [clip for clip in clips if clip.fold == fold] for fold in {clip.fold for clip in clips}}
    negatives = [clip for clip in clips if clip.class_id is None]
    views = [View(clip, None, 0, seed) for clip in clips]
    for number in range(1, recipe.views + 1):
        for clip in clips:
            draws = np.random.default_rng(_draw("plan", clip.path.name, number, seed)).random(2)
            pool = negatives if negatives and draws[1] < NEGATIVE_SHARE else pools[clip.fold]
            partner = _partner(clip, pool, number, seed) if draws[0] < recipe.mix_probability else None
            views.append(View(clip, partner, number, seed))
    return views + [View(None, None, 1 + number, seed) for number in range(round(synthetic_share * len(views)))]


def _draw(*words: object) -> int:
    """Return 32 random bits that depend on the words alone."""
    return int.from_bytes(hashlib.sha256(repr(words).encode()).digest()[:4], "big")


def _partner(clip: Clip, pool: Sequence[Clip], number: int, seed: int) -> Clip:
    """Return the clip of the pool with the lowest draw, so a removed clip changes no other clip's partner."""
    return min(pool, key=lambda other: _draw("partner", clip.path.name, other.path.name, number, seed))


def render_view(view: View, read: Callable[[Clip], Samples], window_samples: int, rate_hz: int) -> Samples:
    """Render the window of a view (1, S)."""
    rng = view.generator
    if view.clip is None:
        return synthetic_negative(rng, rate_hz, window_samples)
    if not view.number:
        return place_first(to_mono(read(view.clip)), window_samples)
    samples = _render(to_mono(read(view.clip)), window_samples, rate_hz, rng)
    if view.partner:
        other = _render(to_mono(read(view.partner)), window_samples, rate_hz, rng)
        share = np.float32(view.share)
        samples = share * samples / loudness(samples) + (1 - share) * other / loudness(other)
    if rng.random() < NOISE_PROBABILITY:
        level = loudness(samples) * 10 ** (-rng.uniform(*NOISE_SNR_DB) / 20)
        samples = samples + np.float32(level) * colored_noise(rng, window_samples)
    return samples


def target_of(view: View, classes: int) -> NDArray[np.float32]:
    """Compute the audibility of each class in the view (K,), by the rule above."""
    target = np.zeros(classes, np.float32)
    for clip, share in ((view.clip, view.share), (view.partner, 1 - view.share)):
        if clip is not None and clip.class_id is not None:
            louder_db = 20 * np.log10(max(share, _QUIET) / max(1 - share, _QUIET))
            target[clip.class_id] = max(target[clip.class_id], np.clip(1 + louder_db / DROWNED_DB, 0, 1))
    return target


def loudness(samples: Samples) -> np.float32:
    """Compute the root mean square of samples (C, S), never 0."""
    return np.float32(np.sqrt(np.mean(np.square(samples))) + _QUIET)


def _render(samples: Samples, window_samples: int, rate_hz: int, rng: np.random.Generator) -> Samples:
    """Change speed, position in the window and frequency response of one clip."""
    faster = play_at(samples, int(rng.choice(SPEEDS_PERCENT)))
    return equalize(place_randomly(faster, window_samples, rng), rate_hz, rng)


def equalize(samples: Samples, rate_hz: int, rng: np.random.Generator) -> Samples:
    """Apply a smooth random response; sometimes a microphone without treble or without bass, or a room."""
    length = samples.shape[1]
    hz = np.fft.rfftfreq(2 * length, 1 / rate_hz)  # twice the length: reverberation is cut off, not wrapped
    gain_db = np.interp(np.log(hz + _KNOT_HZ[0]), np.log(_KNOT_HZ), rng.normal(0, KNOT_DB, len(_KNOT_HZ)))
    if rng.random() < DULL_PROBABILITY:
        gain_db -= 40 * np.clip(hz / rng.uniform(2500, 9000) - 1, 0, 2)
    if rng.random() < THIN_PROBABILITY:
        gain_db -= 40 * np.clip(rng.uniform(80, 450) / (hz + 20) - 1, 0, 1.5)
    response = 10 ** (gain_db / 20)
    if rng.random() < ROOM_PROBABILITY:
        response = response * np.fft.rfft(_room(length, rate_hz, rng), n=2 * length)
    spectrum = np.fft.rfft(samples, n=2 * length)
    return np.fft.irfft(spectrum * response)[:, :length].astype(np.float32)


def _room(length: int, rate_hz: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Generate a room's impulse response (S,): the direct sound, then noise that decays by 60 dB in `ROOM_RT60_S`."""
    time_s = np.arange(length) / rate_hz
    tail = rng.normal(0, 1, length) * 10 ** (-3 * time_s / rng.uniform(*ROOM_RT60_S))
    tail *= rng.uniform(0.3, 1.5) / np.sqrt(np.square(tail).sum())
    tail[0] += 1
    return tail
