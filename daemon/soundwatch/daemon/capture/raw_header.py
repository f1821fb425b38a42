"""Headers of files at the beginning of a stream of raw samples.

Conventions: `arecord` and other programs write a WAV header unless they are told not to. A stream whose header states
the configured format is read as it is: the header is less than a millisecond of noise.
Does not: read files (`capture/frame_reader.py`).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from soundwatch.daemon.core.errors import SourceError

if TYPE_CHECKING:
    from soundwatch.daemon.capture.raw_pcm import PcmFormat

_COMPRESSED: Final = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3\x03": "MP3", b"ID3\x04": "MP3"}
_FORMATS: Final = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le", (3, 32): "f32le"}
_EXTENSIBLE: Final = 0xFFFE  # the format itself follows, as the first two bytes of an identifier
_EXTENSIBLE_BYTES: Final = 46
_HEADER_BYTES: Final = 36


def check_header(data: bytes, pcm: PcmFormat, description: str) -> None:
    """Refuse a stream that begins with the header of a file in another format.

    Args:
        data: First bytes of the stream.
        pcm: Configured format.
        description: Subject of the message.

    Raises:
        SourceError: The samples would be read as noise.
    """
    if kind := _COMPRESSED.get(data[:4]):
        raise SourceError(
            f"{description} begins with the header of a file in {kind} format, and raw samples were expected. Give the "
            "file itself as the device, or decode it: `ffmpeg -i - -f s16le -ar 44100 -ac 1 -`."
        )
    if len(data) < _HEADER_BYTES or data[:4] not in (b"RIFF", b"RF64") or data[8:16] != b"WAVEfmt ":
        return
    tag, channels, rate_hz, bits = struct.unpack_from("<HHI6xH", data, 20)
    if tag == _EXTENSIBLE and len(data) >= _EXTENSIBLE_BYTES:
        tag = int.from_bytes(data[44:46], "little")
    found = f"{_FORMATS.get((tag, bits), f'{bits}-bit samples')},{rate_hz},{channels}"
    wanted = f"{pcm.sample_format},{pcm.rate_hz},{pcm.channels}"
    if found != wanted:
        raise SourceError(
            f"{description} begins with a WAV header of {found}, and {wanted} was expected. Give that format as `pcm`, "
            "or let the program write raw samples: `arecord -t raw`."
        )
