"""Headers of files, and answers of servers, at the beginning of a stream of raw samples.

Conventions: `arecord` and other programs write a WAV header unless they are told not to, and may write it in pieces. A
header that states the configured format is left out: its length is seldom that of whole frames.
Does not: read files (`capture/recordings/frame_reader.py`).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from soundwatch.daemon.core.errors import SourceError

if TYPE_CHECKING:
    from soundwatch.daemon.capture.samples.pcm_format import PcmFormat

_FILES: Final = {
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"ID3\x03": "MP3",
    b"ID3\x04": "MP3",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"caff": "CAF",
    b"RIFX": "WAV",  # of big-endian samples
    b"riff": "Wave64",
    b"\x1a\x45\xdf\xa3": "Matroska",
}
_ANSWERS: Final = {b"HTTP": "http", b"ICY ": "http", b"RTSP": "rtsp"}
_FORMATS: Final = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le", (3, 32): "f32le"}
_EXTENSIBLE: Final = 0xFFFE  # the format itself follows, as the first two bytes of an identifier
_EXTENSIBLE_AT: Final = 24
_FORMAT_BYTES: Final = 16
_LONGEST_BYTES: Final = 4096  # samples that look like the begin of a header are none


def header_bytes(data: bytes, pcm: PcmFormat, description: str) -> int | None:
    """Return the length of the WAV header at the beginning of a stream.

    Args:
        data: First bytes of the stream.
        pcm: Configured format.
        description: Subject of the message.

    Returns:
        Number of bytes before the first sample, 0 without a header; None while the header is incomplete.

    Raises:
        SourceError: The header is that of a file in another format, or of a server, which would be read as noise.
    """
    if kind := _FILES.get(data[:4]):
        raise SourceError(
            f"{description} begins with the header of a file in {kind} format, and raw samples were expected. Give the "
            f"file itself as the device, or decode it: `ffmpeg -i - -f {pcm.sample_format} -ar {pcm.rate_hz} -ac "
            f"{pcm.channels} -`."
        )
    if scheme := _ANSWERS.get(data[:4]):
        raise SourceError(
            f"{description} begins with the answer of a server, and raw samples were expected. Write an address that "
            f"begins with {scheme}://."
        )
    if data[:4] not in (b"RIFF", b"RF64") or not b"WAVE".startswith(data[8:12]):
        return 0
    at = 12
    while at <= _LONGEST_BYTES:
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        begin = at + 8
        if name == b"data" and len(data) >= begin:
            return begin
        at = begin + size + size % 2
        if len(data) < min(at, _LONGEST_BYTES):
            return None
        if name == b"fmt " and size >= _FORMAT_BYTES:
            _check_format(data[begin:at], pcm, description)
    return 0


def _check_format(chunk: bytes, pcm: PcmFormat, description: str) -> None:
    """Compare the chunk of a header that states the format with the configured format."""
    tag, channels, rate_hz, bits = struct.unpack_from("<HHI6xH", chunk)
    if tag == _EXTENSIBLE and len(chunk) > _EXTENSIBLE_AT + 1:
        tag = int.from_bytes(chunk[_EXTENSIBLE_AT : _EXTENSIBLE_AT + 2], "little")
    found = f"{_FORMATS.get((tag, bits), f'{bits}-bit samples')},{rate_hz},{channels}"
    wanted = f"{pcm.sample_format},{pcm.rate_hz},{pcm.channels}"
    if found != wanted:
        raise SourceError(
            f"{description} begins with a WAV header of {found}, and {wanted} was expected. Give that format as `pcm`, "
            "or let the program write raw samples: `arecord -t raw`."
        )
