"""The demo scene: a minute of synthesized street sound, for machines without a microphone.

Conventions: mono at 44.1 kHz. In real time the scene repeats without end; fast it plays once.
`DEMO_SOUNDS` lists its sounds and their times, to compare with the events.
Does not: measure accuracy; real recordings do (`soundwatch evaluate`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, cycle
from typing import Final

import numpy as np

from soundwatch.daemon.capture.demo.synthesis import (
    Signal,
    car_horn,
    dog_bark,
    jackhammer,
    seconds_of,
    siren,
    street_reverb,
    traffic,
)
from soundwatch.daemon.capture.recordings.pacing import Pace, Pacer
from soundwatch.daemon.core.process.memory import release_memory
from soundwatch.daemon.core.records.block import Block, Samples, read_only
from soundwatch.daemon.core.records.source import DEMO_DESCRIPTION, SourceInfo

RATE_HZ: Final = 44_100
ROUND_S: Final = 60
BLOCK_MS: Final = 100
_SEED: Final = 2014  # the year of UrbanSound8K


@dataclass(frozen=True, slots=True)
class DemoSound:
    """One sound of the scene.

    Attributes:
        label: Class in UrbanSound8K.
        onset_s: Start in each round.
        offset_s: End, without the echo.
    """

    label: str
    onset_s: float
    offset_s: float


DEMO_SOUNDS: Final = (
    DemoSound("siren", 3.0, 15.0),
    DemoSound("car_horn", 20.0, 26.5),
    DemoSound("jackhammer", 31.0, 41.0),
    DemoSound("dog_bark", 46.0, 52.0),
)
_LEVELS: Final = {"siren": 0.22, "car_horn": 0.25, "jackhammer": 0.5, "dog_bark": 0.35}
_ECHOES: Final = {"siren": 0.7, "car_horn": 0.57, "jackhammer": 0.25, "dog_bark": 0.35}  # how much of the street
_TRAFFIC_LEVEL: Final = 0.006
_TRAFFIC_S: Final = 12
# Seconds after the onset, and for horns how long each is pressed.
_HORNS: Final = ((0.0, 0.72), (1.42, 0.3), (2.42, 0.91), (4.03, 0.3), (5.03, 0.91))
_BARKS: Final = (0.0, 0.42, 0.85, 1.7, 2.15, 2.6, 3.4, 3.8, 4.5, 4.95, 5.4)


def demo_scene(rate_hz: int = RATE_HZ, seconds: float = ROUND_S) -> Samples:
    """Return the scene's first `seconds` as samples (1, S)."""
    missing = round(seconds * rate_hz)
    stretches = []
    for stretch in cycle(_stretches(rate_hz)):
        stretches.append(stretch[:, :missing])
        missing -= stretches[-1].shape[1]
        if not missing:
            break
    return read_only(np.concatenate(stretches, axis=1))


def _stretches(rate_hz: int) -> Iterator[Samples]:
    """Synthesize one round of the scene in pieces (1, S), alternately without and with a sound."""
    noise = np.random.default_rng(_SEED)
    street = np.tile(_TRAFFIC_LEVEL * traffic(_TRAFFIC_S, rate_hz, noise), ROUND_S // _TRAFFIC_S)
    end = 0
    for sound in DEMO_SOUNDS:
        onset = round(sound.onset_s * rate_hz)
        yield _full_scale(street[end:onset])
        dry = _dry(sound, rate_hz, noise)
        echoing = street_reverb(np.concatenate([dry, np.zeros(rate_hz)]), rate_hz, _ECHOES[sound.label], noise)
        end = onset + len(echoing)
        yield _full_scale(street[onset:end] + _LEVELS[sound.label] * echoing)
        del dry, echoing
        release_memory()  # the reverberation of a sound needs tens of megabytes
    yield _full_scale(street[end:])


def _full_scale(signal: Signal) -> Samples:
    return read_only(np.clip(signal, -1, 1).astype(np.float32)[None])


def _dry(sound: DemoSound, rate_hz: int, noise: np.random.Generator) -> Signal:
    """Synthesize one of the scene's sounds without the street."""
    duration_s = sound.offset_s - sound.onset_s
    if sound.label == "siren":
        return siren(duration_s, rate_hz)
    if sound.label == "jackhammer":
        return jackhammer(duration_s, rate_hz, noise)
    dry = np.zeros_like(seconds_of(duration_s, rate_hz))
    if sound.label == "car_horn":
        pieces = [(at_s, car_horn(press_s, rate_hz, 406.0)) for at_s, press_s in _HORNS]
    else:
        pieces = [(at_s, dog_bark(rate_hz, 670.0 + 85 * noise.random(), noise)) for at_s in _BARKS]
    for at_s, piece in pieces:
        first = round(at_s * rate_hz)
        dry[first : first + len(piece)] += piece
    return dry


class Demo:
    """The scene as a source.

    Args:
        name: The source's name in events.
        pace: "real_time" gives blocks at the rate of a microphone, round after round.
        start_unix_ns: UTC of the first sample; None for the start of `blocks`.
    """

    def __init__(self, name: str, pace: Pace = "real_time", start_unix_ns: int | None = None) -> None:
        self.info = SourceInfo(name, DEMO_DESCRIPTION, RATE_HZ, 1)
        self._start_unix_ns = start_unix_ns
        self._pacer = Pacer(pace, RATE_HZ)
        self._endless = pace == "real_time"

    @property
    def start_unix_ns(self) -> int:
        """UTC of sample 0."""
        return self._start_unix_ns or 0

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of 100 ms until `stop`."""
        stretches = _stretches(RATE_HZ)
        ahead = chain([next(stretches)], stretches)  # the first is synthesized before the clock starts
        if self._start_unix_ns is None:
            self._start_unix_ns = time.time_ns()
        size = RATE_HZ * BLOCK_MS // 1000
        first_sample = 0
        self._pacer.wait_for(0)
        for stretch in cycle(ahead) if self._endless else ahead:
            for at in range(0, stretch.shape[1], size):
                samples = stretch[:, at : at + size]
                if not self._pacer.wait_for(first_sample + samples.shape[1]):
                    return
                yield Block(samples, RATE_HZ, first_sample)
                first_sample += samples.shape[1]

    def stop(self) -> None:
        """Make `blocks` end."""
        self._pacer.stop()
