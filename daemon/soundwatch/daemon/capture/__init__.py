"""Sources of audio: microphones, network streams, recordings, raw PCM and the demo scene, each a `Source`.

Conventions: samples are (C, S) float32 at the source's own rate; time is counted in samples from 0. The table in
`capture/source_kinds.py` maps a device to its kind of source.
Never: resample, mix channels or classify.
"""

from __future__ import annotations

from soundwatch.daemon.capture.demo import Demo
from soundwatch.daemon.capture.microphone import Microphone
from soundwatch.daemon.capture.pacing import Pace
from soundwatch.daemon.capture.pcm_format import PcmFormat
from soundwatch.daemon.capture.raw_pcm import RawPcm
from soundwatch.daemon.capture.recording import Recording, recordings_in
from soundwatch.daemon.capture.source_kinds import open_live_source, open_source, source_kind

__all__ = [
    "Demo",
    "Microphone",
    "Pace",
    "PcmFormat",
    "RawPcm",
    "Recording",
    "open_live_source",
    "open_source",
    "recordings_in",
    "source_kind",
]
