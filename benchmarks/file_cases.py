"""Recordings whose headers, joints or bytes are unusual, each of six seconds of one sound unless it says otherwise.

    python benchmarks/file_cases.py DIR

Conventions: a case is a file's name with its content, and the seconds of sound that are in it. The program ffmpeg
encodes what soundfile does not. Nothing here is a recording of anyone.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import soundfile

RATE_HZ: Final = 44_100
SECONDS: Final = 6
TIME_S: Final = np.arange(RATE_HZ * SECONDS) / RATE_HZ
SOUND: Final = (0.4 * np.sin(2 * np.pi * 700 * TIME_S + 34 * np.sin(2 * np.pi * 0.7 * TIME_S))).astype(np.float32)
DATA: Final = (SOUND * 32767).astype("<i2").tobytes()
STALE: Final = 2 * RATE_HZ  # bytes of one second
GUID: Final = bytes.fromhex("000000001000800000aa00389b71")
ID3: Final = b"ID3\3\0\0\0\0\0\x0a" + bytes(10)
Case = tuple[str, bytes, float]


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    """Return a chunk of a WAV file, with a size of its own."""
    return name + struct.pack("<I", len(content) if size is None else size) + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    """Return a WAV file, with a size of its own."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def form(bits: int = 16, channels: int = 1, rate_hz: int = RATE_HZ, code: int = 1, more: bytes = b"") -> bytes:
    """Return the `fmt ` chunk of a WAV file."""
    block = max(1, channels) * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", code, channels, rate_hz, rate_hz * block % 2**32, block, bits) + more)


def encoded(kind: str, **options: str) -> bytearray:
    """Encode the sound with soundfile."""
    file = BytesIO()
    soundfile.write(file, SOUND, RATE_HZ, format=kind, **options)
    return bytearray(file.getvalue())


def with_ffmpeg(suffix: str, *options: str) -> bytes:
    """Encode the sound with ffmpeg."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"out{suffix}")
        source = ("-f", "s16le", "-ar", str(RATE_HZ), "-i", "pipe:0")
        subprocess.run(["ffmpeg", "-v", "error", *source, *options, path], input=DATA, check=True)
        return path.read_bytes()


def patched(content: bytearray, after: bytes, offset: int, value: bytes) -> bytes:
    """Replace bytes at an offset from a mark."""
    place = content.index(after) + offset
    return bytes(content[:place]) + value + bytes(content[place + len(value) :])


def wav_cases() -> Iterator[Case]:
    """Yield WAV files and their relatives."""
    data, stale = chunk(b"data", DATA), chunk(b"data", DATA, STALE)
    note = b"LIST" + struct.pack("<I", 19) + b"INFOICMT" + struct.pack("<I", 7) + b"a note!"  # odd, without padding
    yield "wav-stale-odd-list.wav", riff(form(), note, stale, size=99), SECONDS
    yield "wav-stale-then-tags.wav", riff(form(), stale, chunk(b"LIST", b"INFOISFT\4\0\0\0abc\0"), size=2_000), SECONDS
    yield "wav-fact-lies.wav", riff(form(32, code=3), chunk(b"fact", b"\0\4\0\0"), chunk(b"data", SOUND.tobytes())), 6
    yield (
        "wav-8-bit-crashed.wav",
        riff(form(8), chunk(b"data", (SOUND * 127 + 128).astype("u1").tobytes(), 0), size=0),
        6,
    )
    nan = SOUND.astype("<f8")
    nan[100_000] = np.nan
    yield "wav-double-nan.wav", riff(form(64, code=3), chunk(b"data", nan.tobytes())), SECONDS
    yield "wav-no-channels.wav", riff(form(channels=0), data), SECONDS
    yield "wav-rate-0.wav", riff(form(rate_hz=0), data), SECONDS
    yield "wav-rate-1e9.wav", riff(form(rate_hz=10**9), data), SECONDS
    yield "wav-fmt-14-bytes.wav", riff(chunk(b"fmt ", form()[8:22]), data), SECONDS
    yield "wav-two-data-chunks.wav", riff(form(), data, data), 2 * SECONDS
    yield "wav-joined.wav", riff(form(), data) * 2, 2 * SECONDS
    three = (np.stack([SOUND, SOUND / 2, SOUND / 4], 1) * 32767).astype("<i2").tobytes()
    for mask in (0, 1, 0xFFFF_FFFF):
        extension = struct.pack("<HHIH", 22, 16, mask, 1) + GUID
        yield f"wav-mask-{mask:x}.wav", riff(form(channels=3, code=0xFFFE, more=extension), chunk(b"data", three)), 6
    adpcm = bytearray(with_ffmpeg(".wav", "-c:a", "adpcm_ima_wav"))
    yield "wav-adpcm-crashed.wav", patched(adpcm, b"data", 4, bytes(4)), SECONDS
    mp3 = bytearray(with_ffmpeg(".wav", "-c:a", "libmp3lame", "-b:a", "128k"))
    yield "wav-mp3-crashed.wav", patched(mp3, b"data", 4, bytes(4)), SECONDS
    for size in (0, STALE, 2**50):
        yield f"rf64-ds64-{size:x}.rf64", patched(encoded("RF64"), b"ds64", 8, struct.pack("<3Q", size, size, 0)), 6
    for size in (0, STALE, 2**63 - 1):
        yield f"w64-{size:x}.w64", patched(encoded("W64"), b"data\xf3", 16, struct.pack("<Q", size)), SECONDS
    for size in (-1, 0, STALE):
        yield f"caf-{size}.caf", patched(encoded("CAF"), b"data", 4, struct.pack(">q", size)), SECONDS
    for size in (0, STALE, 2**32 - 1):
        yield f"au-{size:x}.au", patched(encoded("AU"), b".snd", 8, struct.pack(">I", size)), SECONDS
    sowt = bytearray(with_ffmpeg(".aifc", "-c:a", "pcm_s16le", "-f", "aiff"))
    yield "aifc-sowt.aifc", bytes(sowt), SECONDS
    yield "aifc-sowt-crashed.aifc", patched(bytearray(patched(sowt, b"SSND", 4, bytes(4))), b"COMM", 10, bytes(4)), 6


def ogg_cases() -> Iterator[Case]:
    """Yield Ogg files: Vorbis, Opus and FLAC."""
    vorbis, opus = with_ffmpeg(".ogg", "-c:a", "libvorbis"), with_ffmpeg(".opus", "-c:a", "libopus")
    low = with_ffmpeg(".ogg", "-ar", "22050", "-c:a", "libvorbis")
    yield "ogg-two-rates.ogg", vorbis + low, 2 * SECONDS
    yield "ogg-vorbis-then-opus.ogg", vorbis + opus, 2 * SECONDS
    yield "ogg-two-opus.opus", opus * 2, 2 * SECONDS
    for name, content in (("vorbis.ogg", vorbis), ("opus.opus", opus)):
        pages = [place for place in range(len(content)) if content[place : place + 4] == b"OggS"]
        yield f"ogg-cut-{name}", content[: (pages[-2] + pages[-1]) // 2], SECONDS
        yield f"ogg-lost-page-{name}", content[: pages[3]] + content[pages[4] :], SECONDS
        hole = pages[4] - 200
        yield f"ogg-hole-{name}", content[:hole] + bytes(50) + content[hole + 50 :], SECONDS
    flac = with_ffmpeg(".oga", "-c:a", "flac", "-f", "ogg")
    yield "ogg-two-flac.oga", flac * 2, 2 * SECONDS


def flac_cases() -> Iterator[Case]:
    """Yield FLAC files."""
    content = bytes(encoded("FLAC"))
    middle = len(content) // 2
    yield "flac-id3-around.flac", ID3 + content + b"TAG" + bytes(125), SECONDS
    yield "flac-hole.flac", content[:middle] + bytes(2_000) + content[middle + 2_000 :], SECONDS
    yield "flac-bytes-lost.flac", content[:middle] + content[middle + 5_000 :], SECONDS
    yield "flac-cut.flac", content[:middle], SECONDS
    yield "flac-joined.flac", content * 2, 2 * SECONDS


def mp3_cases() -> Iterator[Case]:
    """Yield MP3 files."""
    plain = ("-c:a", "libmp3lame", "-q:a", "4", "-id3v2_version", "0")
    content, bare = bytearray(with_ffmpeg(".mp3", *plain)), with_ffmpeg(".mp3", *plain, "-write_xing", "0")
    mark = b"Xing" if b"Xing" in content else b"Info"
    for frames in (0, 20, 100_000):
        yield f"mp3-xing-{frames}.mp3", patched(content, mark, 8, struct.pack(">I", frames)), SECONDS
    ape = b"Title\0abcd" + b"APETAGEX" + struct.pack("<4I", 2_000, 42, 1, 0) + bytes(8)
    yield "mp3-ape-tag.mp3", bytes(content) + ape, SECONDS
    yield "mp3-first-frame-garbage.mp3", b"\xff\xfb\x90\xff" + bytes(range(256)) * 2 + bare, SECONDS
    yield "mp3-hole.mp3", bare[: len(bare) // 2] + bytes(3_000) + bare[len(bare) // 2 :], SECONDS
    yield "mp3-joined-two-rates.mp3", bare + with_ffmpeg(".mp3", *plain, "-ar", "22050"), 2 * SECONDS
    yield "mp3-joined-mono-stereo.mp3", bytes(content) + with_ffmpeg(".mp3", *plain, "-ac", "2"), 2 * SECONDS


def other_cases() -> Iterator[Case]:
    """Yield files that ffmpeg reads."""
    fragments = ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "1000000")
    for name, content in (
        ("fragments.m4a", with_ffmpeg(".m4a", *fragments)),
        ("index-at-end.m4a", with_ffmpeg(".m4a", "-c:a", "aac")),
        ("opus.webm", with_ffmpeg(".webm", "-c:a", "libopus")),
        ("plain.wma", with_ffmpeg(".wma", "-c:a", "wmav2")),
    ):
        yield name, content, SECONDS
        yield f"cut-{name}", content[: len(content) * 2 // 3], SECONDS


def cases() -> list[Case]:
    """Return all cases."""
    return [*wav_cases(), *ogg_cases(), *flac_cases(), *mp3_cases(), *other_cases()]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for file_name, file_content, _ in cases():
        (target / file_name).write_bytes(file_content)
