"""Clips and events made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from soundwatch.daemon.clips.recorder import PendingClip
from soundwatch.daemon.clips.ring_buffer import Excerpt, Segment
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.event import Event

RATE_HZ = 1000
MODEL_RATE_HZ = 500
ANCHOR_UNIX_NS = 1_790_000_000_000_000_000
ID = "01M8B5S4NP697GJ0FA9G9FX49E"


@dataclass(frozen=True)
class Timed:
    """A stream whose sample 0 was at `ANCHOR_UNIX_NS`."""

    def event_id(self, event: Event) -> str:
        return f"{event.label}@{event.onset_sample}"

    def at_unix_ns(self, sample: int) -> int:
        return ANCHOR_UNIX_NS + sample * 1_000_000_000 // MODEL_RATE_HZ


def ramp(first_sample: int, length: int, lost_samples: int = 0, rate_hz: int = RATE_HZ) -> Block:
    """A block whose samples, in 16 bits, are their own numbers."""
    numbers = np.arange(first_sample, first_sample + length, dtype=np.float32)[None]
    return Block(numbers / np.float32(32_768), rate_hz, first_sample, lost_samples)


def event(
    kind: Literal["start", "update", "end"], onset_s: float, offset_s: float | None = None, label: str = "siren"
) -> Event:
    """An event of a stream at the model's rate."""
    offset = None if offset_s is None else round(offset_s * MODEL_RATE_HZ)
    return Event(kind, label, 0, 0.9, 0.95, -20.0, 0, round(onset_s * MODEL_RATE_HZ), offset)


def clip(
    seconds: float = 1.0,
    *,
    label: str = "siren",
    score: float = 0.95,
    second: int = 0,
    id_: str = ID,
    source: str = "mic0",
) -> PendingClip:
    """Some noise, as a clip that began so many seconds after the anchor."""
    noise = np.random.default_rng(second).integers(-9000, 9000, (round(seconds * 8000), 1), np.int16)
    start_unix_ns = ANCHOR_UNIX_NS + second * 1_000_000_000
    return PendingClip(source, id_, label, score, start_unix_ns, Excerpt([Segment(0, noise)], 0, len(noise), 8000))
