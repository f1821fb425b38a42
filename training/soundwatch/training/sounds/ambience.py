"""Endless ambience: recorded rain, sea, fire and clocks, and synthetic noise, hum, babble and silence.

Conventions: mono (S,) float32 at `RATE_HZ`. Every kind is a chain of excerpts with a root mean
square of 1 and equal-power cross-fades, so a level in dBFS is a gain. All random numbers come from
the given generator.
Source: the recordings are held-out negatives, found by the words in the names of their folders; the power of
pink and brown noise falls as 1/f and 1/f^2 from 20 Hz on.
Does not: represent many places: an hour of rain from five recordings repeats them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from soundwatch.daemon.core.records.block import read_only
from soundwatch.training.data.audio.read_audio import RATE_HZ, Mono, read_mono, rms
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.sounds.babble import babble, unavailable_reason

RECORDED: Final = ("rain", "sea", "fire", "clock")
EXCERPT_SAMPLES: Final = 12 * RATE_HZ
FADE_SAMPLES: Final = RATE_HZ // 2
_LOWEST_HZ: Final = 20
_HARMONICS: Final = 12
_SILENT_SHARE: Final = 1e-3  # of the peak: the padding of a recording

Excerpts = Iterator[Mono]


@dataclass(slots=True)
class Ambience:
    """Endless sound, read in pieces.

    Attributes:
        excerpts: Source of the excerpts.
        fade_samples: Length of the cross-fade.
    """

    excerpts: Excerpts
    fade_samples: int = FADE_SAMPLES
    _ready: Mono = field(default_factory=lambda: np.zeros(0, np.float32))
    _tail: Mono | None = None

    def take(self, length_samples: int) -> Mono:
        """Return the next samples (S,)."""
        pieces = [self._ready]
        missing = length_samples - self._ready.size
        while missing > 0:
            piece = self._next()
            pieces.append(piece)
            missing -= piece.size
        sound = np.concatenate(pieces)
        self._ready = sound[length_samples:]
        return sound[:length_samples]

    def _next(self) -> Mono:
        """Return the next excerpt up to its fade-out, cross-faded with the end of the previous one."""
        excerpt, fade = next(self.excerpts), self.fade_samples
        if not fade:
            return excerpt
        body, tail = excerpt[:-fade].copy(), excerpt[-fade:]
        if self._tail is not None:
            angle = np.linspace(0, np.pi / 2, fade, dtype=np.float32)
            body[:fade] = body[:fade] * np.sin(angle) + self._tail * np.cos(angle)
        self._tail = tail
        return body


def ambiences(held_out: Sequence[Clip], seed: int) -> tuple[dict[str, Ambience], tuple[str, ...]]:
    """Return all available kinds, and the reasons for the missing ones."""
    rng = np.random.default_rng(seed)
    made: dict[str, Callable[[np.random.Generator, int], Mono]] = {"pink noise": pink_noise, "brown noise": brown_noise}
    skipped = []
    if (reason := unavailable_reason()) is None:
        made["babble"] = babble
    else:
        skipped.append(reason)
    kinds = {
        name: Ambience(_made(make, child)) for (name, make), child in zip(made.items(), rng.spawn(3), strict=False)
    }
    for mains_hz in (50, 60):
        kinds[f"hum {mains_hz} Hz"] = Ambience(_repeated(mains_hum(mains_hz)), fade_samples=0)
    kinds["digital silence"] = Ambience(_repeated(np.zeros(RATE_HZ, np.float32)), fade_samples=0)
    for kind, child in zip(RECORDED, rng.spawn(len(RECORDED)), strict=True):
        clips = [clip for clip in held_out if kind in clip.path.parent.name.lower()]
        if clips:
            kinds[kind] = Ambience(_recorded(clips, child))
        else:
            skipped.append(f"{kind}: no held-out recording in a folder of that name among the negatives")
    return kinds, tuple(skipped)


def round_robin(kinds: Sequence[Ambience], stretch_samples: int) -> Ambience:
    """Repeat the kinds in turn, one segment of each."""

    def stretches() -> Excerpts:
        while True:
            for kind in kinds:
                yield kind.take(stretch_samples)

    return Ambience(stretches())


def pink_noise(rng: np.random.Generator, length_samples: int, rate_hz: int = RATE_HZ) -> Mono:
    """Generate noise (S,) whose power falls as 1/f."""
    return _noise(rng, length_samples, 1.0, rate_hz)


def brown_noise(rng: np.random.Generator, length_samples: int) -> Mono:
    """Generate noise (S,) whose power falls as 1/f^2."""
    return _noise(rng, length_samples, 2.0, RATE_HZ)


def _noise(rng: np.random.Generator, length_samples: int, slope: float, rate_hz: int) -> Mono:
    """Generate noise (S,) whose power falls as 1/f^slope from `_LOWEST_HZ` on, without lower frequencies."""
    spectrum = np.fft.rfft(rng.standard_normal(length_samples, np.float32))
    return np.fft.irfft(spectrum * _falling(length_samples, slope, rate_hz), n=length_samples).astype(np.float32)


@lru_cache(maxsize=8)
def _falling(length_samples: int, slope: float, rate_hz: int) -> Mono:
    """Compute the gain of each bin (F,)."""
    frequencies_hz = np.fft.rfftfreq(length_samples, 1 / rate_hz)
    gains = np.where(frequencies_hz < _LOWEST_HZ, 0, np.maximum(frequencies_hz, _LOWEST_HZ) ** (-slope / 2))
    return read_only(gains.astype(np.float32))


def mains_hum(mains_hz: int) -> Mono:
    """Generate a second of mains hum (S,): harmonics that fall as 1/k, with a root mean square of 1."""
    phase = 2 * np.pi * mains_hz * np.arange(RATE_HZ) / RATE_HZ
    return _unit(np.sum([np.sin(k * phase + k * k) / k for k in range(1, _HARMONICS + 1)], axis=0).astype(np.float32))


def _unit(sound: Mono) -> Mono:
    """Scale to a root mean square of 1; silence stays silent."""
    return np.asarray(sound / max(rms(sound), 1e-12), np.float32)


def _made(make: Callable[[np.random.Generator, int], Mono], rng: np.random.Generator) -> Excerpts:
    while True:
        yield _unit(make(rng, EXCERPT_SAMPLES))


def _repeated(sound: Mono) -> Excerpts:
    while True:
        yield sound


def _recorded(clips: Sequence[Clip], rng: np.random.Generator) -> Excerpts:
    """Yield the recordings in repeated random orders."""
    while True:
        for place in rng.permutation(len(clips)):
            yield _excerpt(clips[place].path)


@lru_cache(maxsize=64)  # 50 MB for recordings of 5 s; avoids decoding them every other minute
def _excerpt(path: Path) -> Mono:
    """Read a recording without leading and trailing silence, long enough for its fades."""
    excerpt = _unit(_trimmed(read_mono(path)))
    return read_only(np.tile(excerpt, -(-2 * FADE_SAMPLES // excerpt.size)))


def _trimmed(sound: Mono) -> Mono:
    """Remove leading and trailing silence."""
    loud = np.flatnonzero(np.abs(sound) > _SILENT_SHARE * np.abs(sound).max())
    return sound[loud[0] : loud[-1] + 1] if loud.size else sound


def gain_to_dbfs(level_dbfs: float) -> np.float32:
    """Compute the gain for an ambience level."""
    return np.float32(10 ** (level_dbfs / 20))
