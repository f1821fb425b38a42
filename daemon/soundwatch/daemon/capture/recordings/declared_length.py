"""Lengths that the headers of files without a layout declare, and the program ffprobe's for a file that ffmpeg decodes.

Conventions: only containers that store a length are asked for one; ffprobe estimates that of the others.
Does not: decide what a difference means (`capture/recordings/sndfile_reader.py`, `capture/recordings/ffmpeg_file.py`).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec

from soundwatch.daemon.capture.recordings.containers.chunks import STREAMED_BYTES

_SHORTER: Final = re.compile(
    r"^\s*(?:data|SSND|Data Size|riff|Riff size|FORM|BODY)\s*: (\d+) \(should be (\d+)\)", re.M
)
_TRUNCATED: Final = re.compile(r"^Seems to be a truncated file\.", re.M)  # of VOC
_AVR_FRAMES: Final = re.compile(r"^\s*Frames\s*: (\d+)", re.M)
_NIST_FRAMES: Final = re.compile(rb"^sample_count -i (\d+)", re.M)
_WITH_LENGTH: Final = frozenset(("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "asf", "avi", "flv", "caf", "wv", "tta"))


def missing_sound(file_format: str, log: str, head: bytes, samples: int) -> tuple[str, str] | None:
    """Compare the header of a file without a layout with the sound that is there.

    Args:
        file_format: libsndfile's name of the format.
        log: libsndfile's log of the header.
        head: First bytes of the file.
        samples: Number of samples per channel that were read.

    Returns:
        The declared length and the length that is there, as parts of a sentence; None if nothing is missing.
    """
    for wanted, present in _SHORTER.findall(log):
        if int(present) < int(wanted) < STREAMED_BYTES:
            return f"{wanted} bytes of sound", f"{present} are there ({samples} samples)"
    if file_format == "VOC" and _TRUNCATED.search(log):
        return "more sound", f"the file ends after {samples} samples"
    declared = 0
    if file_format == "AVR" and (frames := _AVR_FRAMES.search(log)):
        declared = int(frames[1])
    elif file_format == "NIST" and (count := _NIST_FRAMES.search(head)):
        declared = int(count[1])
    return (f"{declared} samples", f"{samples} could be read") if declared > samples else None


class _Tags(msgspec.Struct, frozen=True):
    duration: str = msgspec.field(default="", name="DURATION")


class _Stream(msgspec.Struct, frozen=True):
    duration: str = ""
    start_time: str = ""
    tags: _Tags = _Tags()


class _Format(msgspec.Struct, frozen=True):
    nb_streams: int
    format_name: str
    duration: str = ""


class _Probed(msgspec.Struct, frozen=True):
    streams: tuple[_Stream, ...]
    format: _Format


def ffmpeg_length_s(path: Path, formats: str) -> float | None:
    """Return the length of the first audio stream in a container that stores one.

    Args:
        path: The file.
        formats: Formats that may be opened.

    Returns:
        The length without the time before the stream's start; None if it is unknown, or ffprobe is not installed.
    """
    program = shutil.which("ffprobe")
    if program is None:
        return None
    source = ("-protocol_whitelist", "file", "-format_whitelist", formats, "-i", f"file:{path}")
    shown = ("-show_entries", "stream=duration,start_time:stream_tags=DURATION:format=duration,format_name,nb_streams")
    done = subprocess.run(  # noqa: S603 -- a list, with the path as one argument
        [program, "-v", "quiet", "-select_streams", "a:0", *shown, "-of", "json", *source],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,  # the daemon handles a terminal's Ctrl-C
        check=False,
    )
    if done.returncode:
        return None
    probed = msgspec.json.decode(done.stdout, type=_Probed)
    if probed.format.format_name not in _WITH_LENGTH or not probed.streams:
        return None
    stream = probed.streams[0]
    own = _seconds(stream.duration) or _seconds(stream.tags.duration)
    whole = _seconds(probed.format.duration)
    if own is None and probed.format.nb_streams > 1:  # the whole may be that of a longer picture
        return None
    known = [length for length in (own, whole) if length is not None]
    return min(known) - max(0.0, _seconds(stream.start_time) or 0.0) if known else None


def _seconds(text: str) -> float | None:
    """Parse `SECONDS` or `HOURS:MINUTES:SECONDS`; None for anything else."""
    try:
        values = [float(value) for value in text.split(":")]
    except ValueError:
        return None
    seconds = 0.0
    for value in values:
        seconds = 60 * seconds + value
    return seconds
