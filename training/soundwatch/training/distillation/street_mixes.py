"""Street mixes: training windows that simulate a microphone in a street or a room, with audibility targets.

Conventions: samples are (1, S) float32. A mix has up to two sounds over a background recording, or over noise; any of
the three may be missing. A mix depends on its clips, its number and the seed alone, so runs on other folds share
it. Sounds of two official folds are never joined; backgrounds and negatives have no fold. Targets (K,) are 1 for a
class that is as loud as everything else, 0 for one that is `INAUDIBLE_DB` quieter, and NaN if it is unknown
whether the class is audible: such outputs are left out of the loss.
Source: signal-to-noise ratios are of root mean squares, the sound's over its own length, as in the street scenes.
Does not: change levels: a network that normalizes by the window's peak does not depend on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.core.records.channels import to_mono
from soundwatch.training.data.datasets.negatives import colored_noise, synthetic_negative
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.augment import play_at
from soundwatch.training.distillation.augmented_views import NOISE_SNR_DB, SPEEDS_PERCENT, equalize, loudness
from soundwatch.training.distillation.sound_groups import GROUPS, group_of

INAUDIBLE_DB: Final = 15.0
UNSURE_SHARE: Final = 0.3
LEVEL_DIFFERENCE_DB: Final = 12.0
CUT_PROBABILITY: Final = 0.4
KEPT_SHARE: Final = 0.6
EQUALIZED_PROBABILITY: Final = 0.6
NOISE_PROBABILITY: Final = 0.4
KNOCK_SNR_DB: Final = (3.0, 30.0)
KNOCK_DECAY_S: Final = (0.003, 0.06)
KNOCK_HZ: Final = (60.0, 4000.0)


@dataclass(frozen=True, slots=True)
class StreetSound:
    """Clip for street mixes with its labels.

    Attributes:
        clip: Clip; `class_id` is None for a negative.
        kind: Kind of a negative, for balanced draws; the class of a target.
        uncertain: Other classes that may be audible in it.
        background: True for ambience, which is mixed under other sounds.
    """

    clip: Clip
    kind: str
    uncertain: frozenset[int] = frozenset()
    background: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """Clip in a mix with its level.

    Attributes:
        sound: Clip.
        level_db: Root mean square relative to the other parts of the mix.
    """

    sound: StreetSound
    level_db: float


@dataclass(frozen=True, slots=True)
class StreetMix:
    """Definition of one mix.

    Attributes:
        sounds: Up to two foreground clips.
        background: Ambience; None for noise or no background.
        number: Number that distinguishes mixes of equal clips.
        seed: Seed of the recipe.
    """

    sounds: tuple[StreetSound, ...]
    background: StreetSound | None
    number: int
    seed: int
    snr_db: tuple[float, float]

    @property
    def clips(self) -> tuple[Clip, ...]:
        """All clips of the mix."""
        return tuple(part.sound.clip for part in self.parts)

    @property
    def key(self) -> str:
        """Hash that identifies the mix in every run."""
        background = self.background.clip.path.name if self.background else ""
        names = ["street", *(f"{sound.kind}/{sound.clip.path.name}" for sound in self.sounds), background, self.snr_db]
        return hashlib.sha256(repr((names, self.number, self.seed)).encode()).hexdigest()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the clips with their levels: the foreground around `snr_db` above a background at 0 dB."""
        draws = np.random.default_rng(int(self.key[16:32], 16)).random(2)
        level_db = self.snr_db[0] + draws[0] * (self.snr_db[1] - self.snr_db[0])
        levels_db = (level_db, level_db + (2 * draws[1] - 1) * LEVEL_DIFFERENCE_DB)
        parts = [Part(sound, float(level)) for sound, level in zip(self.sounds, levels_db, strict=False)]
        return (*parts, Part(self.background, 0.0)) if self.background else tuple(parts)


def render_mix(mix: StreetMix, read: Callable[[Clip], Samples], window_samples: int, rate_hz: int) -> Samples:
    """Render the window of a mix (1, S)."""
    rng = np.random.default_rng(int(mix.key[:16], 16))
    if not mix.parts:
        made = knocks if mix.number % 2 else synthetic_negative
        return made(rng, rate_hz, window_samples)
    window = np.zeros((1, window_samples), np.float32)
    for part in mix.parts:
        placed = _placed(to_mono(read(part.sound.clip)), part.sound, window_samples, rate_hz, rng)
        window += np.float32(10 ** (part.level_db / 20)) * placed
    if mix.background is None or rng.random() < NOISE_PROBABILITY:
        level = loudness(window) * 10 ** (-rng.uniform(*NOISE_SNR_DB) / 20)
        window = window + np.float32(level) * colored_noise(rng, window_samples)
    return window


def mix_target(mix: StreetMix, classes: int) -> NDArray[np.float32]:
    """Compute the audibility of each class in a mix (K,); NaN if unknown."""
    target = np.zeros(classes, np.float32)
    audible = _audible(mix)
    for part, share in audible:
        class_id = part.sound.clip.class_id
        if class_id is not None:
            target[class_id] = max(target[class_id], share)
    for part, share in audible:
        for class_id in part.sound.uncertain:
            if share > UNSURE_SHARE and target[class_id] < 1:
                target[class_id] = np.nan
    return target


def mix_groups(mix: StreetMix) -> NDArray[np.float32]:
    """Compute the audibility of each group of other sounds in a mix (G,), from the clips' kinds."""
    target = np.zeros(len(GROUPS), np.float32)
    for part, share in _audible(mix):
        place = group_of(part.sound.kind)
        if place is not None:
            target[place] = max(target[place], share)
    return target


def _audible(mix: StreetMix) -> list[tuple[Part, float]]:
    """Return each part with its audibility, by its level relative to the loudest other part."""
    parts = mix.parts
    shares = []
    for part in parts:
        others = [other.level_db for other in parts if other is not part]
        louder_db = part.level_db - max(others) if others else 0.0
        shares.append((part, float(np.clip(1 + louder_db / INAUDIBLE_DB, 0, 1))))
    return shares


def knocks(rng: np.random.Generator, rate_hz: int, window_samples: int) -> Samples:
    """Generate one to four dry knocks (1, S) over noise: bursts at one frequency with a fast decay."""
    window = colored_noise(rng, window_samples)
    for _ in range(rng.integers(1, 5)):
        decay_s = float(np.exp(rng.uniform(*np.log(KNOCK_DECAY_S))))
        time_s = np.arange(round(8 * decay_s * rate_hz)) / rate_hz
        frequency_hz = np.exp(rng.uniform(*np.log(KNOCK_HZ)))
        tone = np.sin(2 * np.pi * frequency_hz * time_s + rng.uniform(0, 2 * np.pi))
        share = rng.random()
        burst = (share * tone + (1 - share) * rng.standard_normal(len(time_s))) * np.exp(-time_s / decay_s)
        start = int(rng.integers(0, window_samples - len(time_s)))
        window[0, start : start + len(time_s)] += (10 ** (rng.uniform(*KNOCK_SNR_DB) / 20) * burst).astype(np.float32)
    return window


def _placed(
    samples: Samples, sound: StreetSound, window_samples: int, rate_hz: int, rng: np.random.Generator
) -> Samples:
    """Place a clip of root mean square 1 at another speed at a random position in a window (1, S), possibly cut off."""
    if sound.background:
        clip = _stretch(samples, window_samples, rng)
        return _repeated(clip, window_samples) / loudness(clip)
    samples = _stretch(samples, 2 * window_samples, rng)
    samples = play_at(samples, int(rng.choice(SPEEDS_PERCENT)))
    samples = samples / loudness(samples)
    spare = window_samples - samples.shape[1]
    if spare < 0:
        window = _stretch(samples, window_samples, rng)
    elif rng.random() < CUT_PROBABILITY:
        kept = round(KEPT_SHARE * samples.shape[1])
        window = _at(samples, int(rng.integers(kept - samples.shape[1], window_samples - kept + 1)), window_samples)
    else:
        window = _at(samples, int(rng.integers(0, spare + 1)), window_samples)
    return equalize(window, rate_hz, rng) if rng.random() < EQUALIZED_PROBABILITY else window


def _at(samples: Samples, start: int, window_samples: int) -> Samples:
    """Place a clip at a sample of the window (1, S), which may be negative."""
    window = np.zeros((1, window_samples), np.float32)
    kept = samples[:, max(0, -start) : window_samples - start]
    window[:, max(0, start) : max(0, start) + kept.shape[1]] = kept
    return window


def _stretch(samples: Samples, length_samples: int, rng: np.random.Generator) -> Samples:
    """Return a random segment of a long recording, or all of a short one."""
    start = int(rng.integers(0, max(1, samples.shape[1] - length_samples + 1)))
    return samples[:, start : start + length_samples]


def _repeated(samples: Samples, length_samples: int) -> Samples:
    """Repeat ambience that is too short."""
    return np.tile(samples, -(-length_samples // samples.shape[1]))[:, :length_samples]
