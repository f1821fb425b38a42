"""Synthetic sounds of none of the classes, as files: the default negatives of own classes.

Conventions: recordings of `LENGTH_S` at `RATE_HZ`, mono, peak in -1 to 1. Number i of a kind is equal in every run.
Kinds are those that raise false events: noise, hum, knocks, crackle, tones, notes, speech.
Source: speech is a pulse train and noise through two resonances that move by syllables, a formant synthesizer (Klatt
1980) reduced to what a network must not take for a class.
Does not: replace recordings: `--negatives` adds real sounds, which are closer to the place of use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.files.atomic_file import replace_file
from soundwatch.training.data.datasets.negatives import colored_noise

RATE_HZ: Final = 22_050
LENGTH_S: Final = 4.0
VERSION: Final = "1"  # of the sounds; a change makes other files
MIN_PER_KIND: Final = 4
MAX_PER_KIND: Final = 40
_SAMPLES: Final = round(RATE_HZ * LENGTH_S)
_TIME_S: Final = np.arange(_SAMPLES) / RATE_HZ

Signal = NDArray[np.float64]


def sounds_per_kind(clips: int) -> int:
    """Return the number of sounds of every kind for so many clips: three times as many in all, up to 280."""
    return min(MAX_PER_KIND, max(MIN_PER_KIND, 3 * clips // len(KINDS)))


def write_synthetic_sounds(folder: Path, per_kind: int) -> Path:
    """Write `per_kind` sounds of every kind below the folder, unless they are there, and return their folder.

    Raises:
        DataError: The folder cannot be written to.
    """
    place = folder / f"synthetic-{VERSION}"
    try:
        for kind in KINDS:
            (place / kind).mkdir(parents=True, exist_ok=True)
            for number in range(per_kind):
                file = place / kind / f"{kind}{number}.wav"
                if not file.exists():
                    samples = synthetic_sound(kind, number)
                    replace_file(file, lambda part, samples=samples: _write(part, samples))  # type: ignore[misc]
    except OSError as error:
        size_mb = per_kind * len(KINDS) * _SAMPLES * 2 // 1_000_000 + 1
        raise DataError(
            f"Synthetic sounds cannot be written to {place}: {error.strerror}. About {size_mb} MB were wanted; make "
            "room, or name another folder in XDG_CACHE_HOME."
        ) from error
    return place


def _write(part: Path, samples: Signal) -> None:
    soundfile.write(part, samples, RATE_HZ, format="WAV", subtype="PCM_16")


def synthetic_sound(kind: str, number: int) -> Signal:
    """Generate sound `number` of a kind (S,), over faint noise, at a level of -40 to -3 dBFS."""
    seed = int.from_bytes(hashlib.sha256(f"{VERSION} {kind} {number}".encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    sound = KINDS[kind](rng)
    sound /= max(1e-9, float(np.abs(sound).max()))
    noise = colored_noise(rng, _SAMPLES)[0] * 10 ** (rng.uniform(-70, -20) / 20)
    mixed = np.asarray(sound + noise, np.float64)
    level = 10 ** (rng.uniform(-40, -3) / 20)
    return np.asarray(mixed * (level / np.abs(mixed).max()), np.float64)


def _noise(rng: np.random.Generator) -> Signal:
    """Generate noise of a random color, half of it swelling as wind and traffic do."""
    noise = colored_noise(rng, _SAMPLES)[0].astype(np.float64)
    if rng.random() < 0.5:
        knots = rng.uniform(0.05, 1, int(rng.integers(3, 12)))
        noise *= np.interp(_TIME_S, np.linspace(0, LENGTH_S, knots.size), knots)
    return np.asarray(noise, np.float64)


def _hum(rng: np.random.Generator) -> Signal:
    """Generate a hum of harmonics, as of mains, fans and engines, with a slow beat."""
    pitch_hz = rng.choice([50.0, 60.0, rng.uniform(20, 200)])
    drift = 1 + rng.uniform(0, 0.03) * np.sin(2 * np.pi * rng.uniform(0.1, 1) * _TIME_S)
    phase = 2 * np.pi * np.cumsum(pitch_hz * drift) / RATE_HZ
    hum = np.zeros(_SAMPLES)
    for harmonic in range(1, int(rng.integers(3, 30))):
        hum += rng.uniform(0, 1) / harmonic * np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi))
    return np.asarray(hum, np.float64)


def _knocks(rng: np.random.Generator) -> Signal:
    """Generate one to eight blows on a body with resonances: knocks, steps, dropped things."""
    sound = np.zeros(_SAMPLES)
    decays_s, pitches_hz = rng.uniform(0.005, 0.25, 4), np.exp(rng.uniform(np.log(80), np.log(6000), 4))
    for start_s in np.sort(rng.uniform(0, LENGTH_S - 0.3, int(rng.integers(1, 9)))):
        since_s = np.clip(_TIME_S - start_s, 0, None)
        ringing = np.zeros(_SAMPLES)
        for decay_s, pitch_hz in zip(decays_s, pitches_hz, strict=True):
            ringing += np.exp(-since_s / decay_s) * np.sin(2 * np.pi * pitch_hz * since_s)
        burst = rng.standard_normal(_SAMPLES) * np.exp(-since_s / 0.01)
        sound += rng.uniform(0.3, 1) * (ringing + burst) * (start_s <= _TIME_S)
    return sound


def _crackle(rng: np.random.Generator) -> Signal:
    """Generate many short clicks, as of rain, fire, paper and frying."""
    clicks = np.zeros(_SAMPLES)
    count = int(np.exp(rng.uniform(np.log(10), np.log(4000))))
    clicks[rng.integers(0, _SAMPLES, count)] = rng.standard_normal(count)
    return _resonate(clicks, rng.uniform(300, 8000), rng.uniform(500, 6000))


def _tones(rng: np.random.Generator) -> Signal:
    """Generate a steady, beeping or gliding tone with few harmonics: alarms, whistles, sirens."""
    low_hz, high_hz = np.sort(np.exp(rng.uniform(np.log(150), np.log(5000), 2)))
    shape = rng.choice(["steady", "beeps", "glide"])
    position = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.1, 5) * _TIME_S) if shape == "glide" else np.zeros(_SAMPLES)
    phase = 2 * np.pi * np.cumsum(low_hz + (high_hz - low_hz) * position) / RATE_HZ
    tone = np.zeros(_SAMPLES)
    for harmonic in range(1, int(rng.integers(2, 7))):
        tone += rng.uniform(0, 1) / harmonic * np.sin(harmonic * phase)
    if shape == "beeps":
        period_s = rng.uniform(0.1, 1.5)
        tone = tone * (np.mod(_TIME_S, period_s) < period_s * rng.uniform(0.2, 0.8))
    return tone


def _notes(rng: np.random.Generator) -> Signal:
    """Generate plucked and bowed notes, alone and together, as music does."""
    sound = np.zeros(_SAMPLES)
    decay_s, harmonics = rng.uniform(0.1, 1.5), int(rng.integers(2, 12))
    for start_s in np.arange(0, LENGTH_S, rng.uniform(0.15, 0.8)):
        since_s = np.clip(_TIME_S - start_s, 0, None)
        envelope = np.minimum(1, since_s / 0.01) * np.exp(-since_s / decay_s) * (start_s <= _TIME_S)
        for note in rng.integers(-24, 25, int(rng.integers(1, 4))):
            pitch_hz = 440 * 2 ** (note / 12)
            for harmonic in range(1, harmonics):
                sound += envelope / harmonic * np.sin(2 * np.pi * harmonic * pitch_hz * since_s)
    return sound


def _speech(rng: np.random.Generator) -> Signal:
    """Generate syllables of speech without words."""
    sound = np.zeros(_SAMPLES)
    pitch_hz, start_s = rng.uniform(80, 320), rng.uniform(0, 0.5)
    while start_s < LENGTH_S - 0.4:
        length_s = rng.uniform(0.08, 0.35)
        first, size = round(start_s * RATE_HZ), round(length_s * RATE_HZ)
        glide = pitch_hz * np.linspace(rng.uniform(0.85, 1.2), rng.uniform(0.8, 1.1), size)
        phase = np.cumsum(glide) / RATE_HZ
        pulses = np.diff(np.floor(phase), prepend=0.0)
        source = rng.standard_normal(size) * 0.3 if rng.random() < 0.2 else pulses + 0.02 * rng.standard_normal(size)
        voice = _resonate(source, rng.uniform(250, 900), 120) + 0.6 * _resonate(source, rng.uniform(900, 2800), 180)
        sound[first : first + size] += voice * np.sin(np.pi * np.linspace(0, 1, size)) * rng.uniform(0.4, 1)
        start_s += length_s + (rng.uniform(0.3, 0.9) if rng.random() < 0.2 else rng.uniform(0, 0.08))
    return sound


def _resonate(source: Signal, center_hz: float, width_hz: float) -> Signal:
    """Filter a signal (S,) with one resonance, by its spectrum; the ringing after the end is cut."""
    length = 2 * source.size
    frequencies_hz = np.fft.rfftfreq(length, 1 / RATE_HZ)
    response = 1 / (1 + 1j * (frequencies_hz**2 - center_hz**2) / (width_hz * np.maximum(frequencies_hz, 1)))
    return np.asarray(np.fft.irfft(np.fft.rfft(source, length) * response, length)[: source.size], np.float64)


KINDS: Final[dict[str, Callable[[np.random.Generator], Signal]]] = {
    "noise": _noise,
    "hum": _hum,
    "knocks": _knocks,
    "crackle": _crackle,
    "tones": _tones,
    "notes": _notes,
    "speech": _speech,
}
