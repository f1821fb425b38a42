"""Sources of audio: microphones, network streams, recordings, raw PCM and the demo scene, each a `Source`.

Conventions: samples are (C, S) float32 at the source's own rate; time is counted in samples from 0. The table in
`capture/source_kinds.py` maps a device to its kind of source. A subpackage imports those before it in this list only:
`descriptors`, `samples` and `monitoring`; `recordings`, `streams` and `portaudio`; `demo` and `sound_server`;
`microphones`.
Never: resample, mix channels or classify.
"""

from __future__ import annotations

from soundwatch.daemon.capture.demo.scene import Demo
from soundwatch.daemon.capture.portaudio.microphone import Microphone
from soundwatch.daemon.capture.recordings.pacing import Pace
from soundwatch.daemon.capture.recordings.recording import Recording, recordings_in
from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.source_kinds import check_source, open_live_source, open_source, source_kind
from soundwatch.daemon.capture.streams.raw_pcm import RawPcm

__all__ = [
    "Demo",
    "Microphone",
    "Pace",
    "PcmFormat",
    "RawPcm",
    "Recording",
    "check_source",
    "open_live_source",
    "open_source",
    "recordings_in",
    "source_kind",
]
