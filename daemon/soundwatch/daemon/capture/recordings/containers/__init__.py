"""Layout of audio files: position of the sound, with any length in the header.

Conventions: a file holds one or more parts, each a stream that libsndfile decodes from its start to its end. A part is
presented with a header that agrees with the bytes that are there (`file_view.py`).
Rule: a length in a header is believed if the bytes agree with it; else the sound extends to the end of the file.
Source: the formats' specifications; the recorders, editors and joined files that people have.
Never: decode sound, or read a file into memory.
"""

from __future__ import annotations

from soundwatch.daemon.capture.recordings.containers.file_view import FileView
from soundwatch.daemon.capture.recordings.containers.layout import Part
from soundwatch.daemon.capture.recordings.containers.sniff import find_parts

__all__ = ["FileView", "Part", "find_parts"]
