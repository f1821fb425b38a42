"""Properties of an audio file, measured over all its samples.

Conventions: two files have one content if they decode to equal samples at equal rates; names and lossless encodings
may differ. A file is read by the daemon's reader.
Does not: assess (`data/checks/findings.py`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.capture.recordings.findings import FindingKind
from soundwatch.daemon.capture.samples.recording_error import FaultKind, fault_kind
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.process.stop_request import raise_if_stop_requested


@dataclass(frozen=True, slots=True)
class SoundFacts:
    """Properties of a readable file.

    Attributes:
        rate_hz: Sampling rate.
        channels: Number of channels.
        encoding: Container and sample format, e.g. "WAV PCM_16".
        duration_s: Length.
        findings: What the reader found, as kind and sentence.
        content: Hash of all samples and the rate.
    """

    rate_hz: int
    channels: int
    encoding: str
    duration_s: float
    findings: dict[FindingKind, str]
    content: str


@dataclass(frozen=True, slots=True)
class SoundFault:
    """Fault of a file that cannot be used: its kind, and the reader's message."""

    kind: FaultKind
    message: str


def measure_sound(path: Path) -> SoundFacts | SoundFault:
    """Measure a file, or return its fault if it cannot be read to its end."""
    try:
        recording = Recording(path.stem, path, "fast", 0, measure=True)
        info, meter = recording.info, recording.meter
        assert meter is not None
        digest = hashlib.sha256(f"{info.rate_hz} {info.channels}".encode())
        for block in recording.blocks():
            raise_if_stop_requested()
            digest.update(np.ascontiguousarray(block.samples.T).data)
    except SourceError as error:
        return SoundFault(fault_kind(error), str(error))
    return SoundFacts(
        rate_hz=info.rate_hz,
        channels=info.channels,
        encoding=recording.encoding,
        duration_s=meter.duration_s,
        findings=recording.findings(),
        content=digest.hexdigest(),
    )
