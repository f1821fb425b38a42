"""Findings about a recording that was read: what may spoil its scores or a model that learns from it.

Conventions: the sentences are the same in every command. Statistics are accumulated block by block.
Does not: find what makes a recording unreadable (`capture/samples/recording_error.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from soundwatch.daemon.capture.monitoring.audio_quality import DEAD_RATIO, LevelStats
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.records.block import Samples

FindingKind = Literal[
    "longer than declared",
    "shorter than estimated",
    "damaged",
    "changed while read",
    "silent",
    "nearly silent",
    "beyond full scale",
    "clipped",
    "opposite channels",
    "dead channel",
    "very short",
    "too long",
]

CLIPPED_FROM: Final = 0.999
CLIPPED_SHARE: Final = 1e-3
QUIET_PEAK: Final = 1e-3
BEYOND_PEAK: Final = 1.5  # decoders of lossy formats exceed full scale a little
MONO_KINDS: Final = frozenset[FindingKind](("opposite channels", "dead channel"))  # no matter to a stereo model
SHORTEST_MS: Final = 10
LONGEST_S: Final = 1_800
ADVICE: Final[dict[FindingKind, str]] = {
    "longer than declared": "its header declares less sound than is there; all of it was read.",
    "shorter than estimated": "its header estimates more sound than is there. If it was cut off, copy it again.",
    "damaged": "bytes in it are no sound and were left out. Copy the file again.",
    "changed while read": "another program wrote to it while it was read. Read it again once its writer has ended.",
    "silent": "all its samples are zero: nothing was recorded. Check the input.",
    "nearly silent": "it never reaches -60 dBFS: hardly anything was recorded. Raise the gain.",
    "beyond full scale": "samples lie beyond full scale, -1 to 1: its integers may be stored as floats, or its gain is "
    "wrong. Divide the samples by their full scale.",
    "clipped": "more than 0.1% of its samples are at full scale. Record with less gain.",
    "opposite channels": "its channels cancel each other, so a mono model gets silence. Use one of the channels: "
    "`ffmpeg -i IN -af pan=mono|c0=c0 OUT.wav`, or `channels: left` for a live source.",
    "dead channel": "half of its channels or more are silent, which at least halves the level of the mean. Use a "
    "channel with sound: `ffmpeg -i IN -af pan=mono|c0=cN OUT.wav` with its number N from 0, or `channels: left` or "
    "`right` for a live source.",
    "very short": f"it lasts less than {SHORTEST_MS} ms; no sound can be recognized in that.",
    "too long": f"it lasts more than {LONGEST_S // 60} minutes: one label or one score says little about it. Cut it, "
    "or find its events with `soundwatch replay`.",
}


@dataclass(slots=True)
class RecordingMeter:
    """Statistics of a recording's samples so far.

    Attributes:
        rate_hz: Sampling rate.
        samples: Number of samples per channel.
        channels: Number of channels.
        peak: Largest magnitude.
        clipped_samples: Number of samples at full scale, over all channels.
        stats: Statistics of the channels; None for one channel.
    """

    rate_hz: int
    samples: int = 0
    channels: int = 1
    peak: float = 0.0
    clipped_samples: int = 0
    stats: LevelStats | None = None

    def add(self, samples: Samples) -> None:
        """Add the next samples (C, S)."""
        peak = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
        if peak >= CLIPPED_FROM:
            self.clipped_samples += int(np.count_nonzero(np.abs(samples) >= CLIPPED_FROM))
        if samples.shape[0] > 1:
            stats = LevelStats.of(samples)
            self.stats = stats if self.stats is None else self.stats + stats
        self.peak = max(self.peak, peak)
        self.samples += samples.shape[1]
        self.channels = samples.shape[0]

    @property
    def duration_s(self) -> float:
        """Length."""
        return self.samples / self.rate_hz

    def findings(self) -> tuple[FindingKind, ...]:
        """Return the kinds of findings about the samples."""
        powers = self.stats.squares if self.stats is not None else ()
        found: dict[FindingKind, bool] = {
            "silent": self.peak == 0,
            "nearly silent": 0 < self.peak < QUIET_PEAK,
            "beyond full scale": self.peak > BEYOND_PEAK,
            "clipped": self.clipped_samples > CLIPPED_SHARE * self.samples * self.channels and self.peak <= BEYOND_PEAK,
            "opposite channels": self.stats is not None and self.stats.opposite_channels,
            "dead channel": 2 * sum(power < DEAD_RATIO**2 * max(powers) for power in powers) >= len(powers) > 0,
            "very short": self.samples * 1000 < SHORTEST_MS * self.rate_hz,
            "too long": self.duration_s > LONGEST_S,
        }
        return tuple(kind for kind, seen in found.items() if seen)


def findings_for_events(findings: Mapping[FindingKind, str], model_channels: int) -> dict[FindingKind, str]:
    """Select the findings about a recording whose events are searched; its length does not matter there."""
    return {
        kind: advice
        for kind, advice in findings.items()
        if kind != "too long" and (kind not in MONO_KINDS or model_channels == 1)
    }


def log_findings(findings: Mapping[FindingKind, str], path: Path, model_channels: int, log: Logger) -> None:
    """Log what was found about a recording whose events are searched."""
    for kind, advice in findings_for_events(findings, model_channels).items():
        log.warning(kind.replace(" ", "_"), file=str(path), advice=advice)
