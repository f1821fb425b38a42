from __future__ import annotations

import io
import os
import struct
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.capture.monitoring.monitor import MonitoredSource
from soundwatch.daemon.capture.samples.pcm_format import PcmFormat, decode_pcm
from soundwatch.daemon.capture.streams.raw_pcm import RawPcm
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.core.records.source import ClockCorrection
from soundwatch.daemon.core.time.clock import ClockReading

MONO = PcmFormat("s16le", 8_000, 1)
LATER = [ClockReading(20, 3_600_000_000_010)]


class Pipe:
    """Provide a pipe whose reading end is a source."""

    def __init__(self, pcm: PcmFormat) -> None:
        reading, writing = os.pipe()
        self.reader: io.FileIO = io.FileIO(reading)
        self.writer: io.FileIO = io.FileIO(writing, "w")
        self.source = RawPcm("stdin", self.reader, pcm)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe(MONO)
    yield pipe
    pipe.writer.close()
    for thread in threading.enumerate():
        if thread.name == "pcm":
            thread.join(10)
    pipe.reader.close()


def test_the_times_follow_a_clock_that_is_set(pipe: Pipe) -> None:
    """A writer may be late or ahead, which says nothing about the clock."""
    hour_ns = 3_600_000_000_000
    clocks = iter([ClockReading(0, 0), ClockReading(9 * hour_ns, 9 * hour_ns), ClockReading(10, hour_ns), *LATER])
    monitored = MonitoredSource(pipe.source, now=lambda: next(clocks))
    pipe.writer.write(bytes(4 * 1600))
    pipe.writer.close()
    items = list(monitored.blocks())
    assert [type(item).__name__ for item in items] == ["Block", "Block", "ClockCorrection", "Block", "Block"]
    correction = items[2]
    assert isinstance(correction, ClockCorrection)
    assert (correction.reason, correction.shift_ns) == ("clock_step", hour_ns - 10)
    assert correction.start_unix_ns == monitored.start_unix_ns + hour_ns - 10


@pytest.mark.parametrize(
    ("text", "pcm", "frame_bytes"),
    [
        ("s16le,48000,1", PcmFormat("s16le", 48_000, 1), 2),
        (" u8, 8000, 2 ", PcmFormat("u8", 8_000, 2), 2),
        ("s24le,192000,6", PcmFormat("s24le", 192_000, 6), 18),
    ],
)
def test_a_format_is_read_from_one_word(text: str, pcm: PcmFormat, frame_bytes: int) -> None:
    assert PcmFormat.parse(text) == pcm
    assert pcm.frame_bytes == frame_bytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "PCM format '' was given; write sample format, rate in Hz and channels, such as s16le,48000,1"),
        ("s16le", "write sample format, rate in Hz and channels"),
        ("s16le,48k,1", "write sample format, rate in Hz and channels"),
        ("s16le,-48000,1", "write sample format, rate in Hz and channels"),
        ("s16be,48000,1", "Sample format 's16be' was given; use one of u8, s16le, s24le, s32le, f32le"),
        ("s16le,48,1", "A rate of 48 Hz was given; use 1000 to 384000"),
        ("s16le,48000,0", "0 channels were given; use 1 to 64"),
    ],
)
def test_a_format_that_cannot_be_used_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PcmFormat.parse(text)


@pytest.mark.parametrize(
    ("sample_format", "data", "samples"),
    [
        ("u8", [0x00, 0x80, 0xC0], [-1.0, 0.0, 0.5]),
        ("s16le", [0x00, 0x80, 0x00, 0x00, 0x00, 0x40], [-1.0, 0.0, 0.5]),
        ("s24le", [0x00, 0x00, 0x80, 0x01, 0x00, 0x00, 0x00, 0x00, 0x40], [-1.0, 2**-23, 0.5]),
        ("s32le", [0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x40], [-1.0, 0.5]),
        ("f32le", [0x00, 0x00, 0x80, 0xBF, 0x00, 0x00, 0x00, 0x3F], [-1.0, 0.5]),
    ],
)
def test_every_sample_format_has_full_scale_one(sample_format: str, data: list[int], samples: list[float]) -> None:
    decoded = decode_pcm(bytes(data), PcmFormat(sample_format, 8_000, 1))
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, [samples])


def test_interleaved_samples_are_split_by_channel() -> None:
    decoded = decode_pcm(bytes([0x80, 0x00, 0xC0, 0x40]), PcmFormat("u8", 8_000, 2))
    np.testing.assert_array_equal(decoded, [[0.0, 0.5], [-1.0, -0.5]])


@pytest.mark.slow
@given(st.lists(st.integers(1, 7_000), min_size=1, max_size=12))
def test_any_way_of_cutting_the_bytes_gives_the_same_samples(cuts: list[int]) -> None:
    data = np.random.default_rng(3).integers(-(2**15), 2**15, sum(cuts), np.int16).astype("<i2").tobytes()[: sum(cuts)]
    data = data[: len(data) // 6 * 6]
    pcm = PcmFormat("s24le", 8_000, 2)

    class Trickle(io.RawIOBase):
        left, pieces = data, iter(cuts)

        def read(self, size: int = -1) -> bytes:
            size = min(size, next(self.pieces, size))
            given, self.left = self.left[:size], self.left[size:]
            return given

    blocks = list(RawPcm("stdin", Trickle(), pcm).blocks())
    read_samples = np.concatenate([np.zeros((2, 0)), *(block.samples for block in blocks)], axis=1)
    np.testing.assert_array_equal(read_samples, decode_pcm(data, pcm))
    assert sum(block.lost_samples for block in blocks) == 0


def test_the_end_of_the_input_ends_the_source(pipe: Pipe) -> None:
    pipe.writer.write(np.arange(1000, dtype="<i2").tobytes())
    pipe.writer.close()
    blocks = list(pipe.source.blocks())
    assert blocks[0].first_sample == 0
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks], axis=1), [np.arange(1000) / 32768])
    assert pipe.source.start_unix_ns > 0


def test_a_frame_that_was_cut_off_is_reported_after_all_whole_ones(pipe: Pipe) -> None:
    pipe.writer.write(bytes(2001))
    pipe.writer.close()
    blocks = pipe.source.blocks()
    samples = 0
    with pytest.raises(SourceError, match="ended after 1000 frames with 1 bytes of the next, which has 2"):  # noqa: PT012
        for block in blocks:
            samples += block.samples.shape[1]
    assert samples == 1000


def test_stop_interrupts_a_read_that_waits(pipe: Pipe) -> None:
    pipe.writer.write(bytes(200))
    blocks = pipe.source.blocks()
    next(blocks)
    stopper = threading.Timer(0.05, pipe.source.stop)
    stopper.start()
    assert list(blocks) == []
    stopper.join()


def test_a_slow_pipeline_blocks_the_writer_and_loses_no_sound(pipe: Pipe) -> None:
    ramp = np.arange(400_000).astype("<i2")

    def write() -> None:
        pipe.writer.write(ramp.tobytes())
        pipe.writer.close()

    writer = threading.Thread(target=write)
    blocks = pipe.source.blocks()
    writer.start()
    first = next(blocks)
    writer.join(0.2)
    assert writer.is_alive(), "the pipe and the queue hold less than a second of 50"
    read_samples = np.concatenate([first.samples, *(block.samples for block in blocks)], axis=1)
    writer.join()
    np.testing.assert_array_equal(read_samples, [ramp / np.float32(32768)])


def test_a_float_that_is_no_number_is_named(pipe: Pipe) -> None:
    pipe.writer.write(np.array([0.0, 0.5, np.nan], "<f4").tobytes())
    pipe.writer.close()
    source = RawPcm("stdin", pipe.reader, PcmFormat("f32le", 8_000, 1))
    with pytest.raises(SourceError, match=r"standard input, f32le: sample 2 .* of channel 1 is nan"):
        list(source.blocks())


def test_a_terminal_is_not_taken_for_sound() -> None:
    class Terminal(io.RawIOBase):
        def isatty(self) -> bool:
            return True

    with pytest.raises(SourceError, match=r"standard input, which is a terminal\. Pipe them in, such as `arecord"):
        RawPcm("stdin", Terminal(), MONO)


def test_an_input_that_breaks_is_an_error() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            del size
            raise OSError(5, "Input/output error")

    with pytest.raises(SourceError, match="Standard input cannot be read: Input/output error"):
        list(RawPcm("stdin", Broken(), MONO).blocks())


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError(), ValueError("read of closed file")])
def test_a_read_that_fails_in_any_way_ends_the_source_with_the_reason(error: Exception) -> None:
    class Broken(io.RawIOBase):
        def read(self, _: int = -1) -> bytes:
            raise error

    with pytest.raises(SourceError, match=getattr(error, "strerror", None) or str(error) or "MemoryError"):
        list(RawPcm("stdin", Broken(), MONO).blocks())


class Pieces(io.RawIOBase):
    """A stream that gives few bytes at a time, as a pipe whose writer writes few."""

    def __init__(self, content: bytes, piece_bytes: int) -> None:
        self._content = io.BytesIO(content)
        self._piece_bytes = piece_bytes

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(min(size, self._piece_bytes))


def wav_header(tag: int, channels: int, rate_hz: int, bits: int) -> bytes:
    frame = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame, frame, bits)
    return b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + fmt + b"data\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (wav_header(1, 1, 8000, 24), "begins with a WAV header of s24le,8000,1, and s16le,8000,1 was expected"),
        (wav_header(1, 2, 8000, 16), "WAV header of s16le,8000,2"),
        (wav_header(1, 1, 48000, 16), "WAV header of s16le,48000,1"),
        (wav_header(3, 1, 8000, 32), "WAV header of f32le,8000,1"),
        (wav_header(7, 1, 8000, 8), "WAV header of 8-bit samples,8000,1"),
        (b"fLaC" + bytes(60), r"file in FLAC format, .* decode it: `ffmpeg -i - -f s16le -ar 8000 -ac 1 -`\.$"),
        (b"FORM\0\0\0\0AIFF" + bytes(60), "file in AIFF format"),
        (b".snd" + bytes(60), "file in AU format"),
        (b"caff" + bytes(60), "file in CAF format"),
        (
            b"HTTP/1.1 503 Service Unavailable\r\n",
            "begins with the answer of a server, .* an address that begins with http://",
        ),
        (b"ID3\x04" + bytes(60), "file in MP3 format"),
    ],
)
def test_a_file_of_another_format_is_not_taken_for_raw_samples(pipe: Pipe, head: bytes, message: str) -> None:
    pipe.writer.write(head)
    pipe.writer.close()
    with pytest.raises(SourceError, match=message):
        list(pipe.source.blocks())


@pytest.mark.parametrize("pcm", [MONO, PcmFormat("s24le", 8000, 1), PcmFormat("s32le", 8000, 2)])
@pytest.mark.parametrize("piece_bytes", [12, 40, 4000])
def test_a_wav_header_of_the_configured_format_is_left_out(pcm: PcmFormat, piece_bytes: int) -> None:
    bits = 8 * pcm.frame_bytes // pcm.channels
    content = wav_header(1, pcm.channels, pcm.rate_hz, bits) + b"\0\0\0\x40"[-bits // 8 :] * 100 * pcm.channels
    source = RawPcm("stdin", Pieces(content, piece_bytes), pcm)
    samples = np.concatenate([block.samples for block in source.blocks()], axis=1)
    assert samples.shape == (pcm.channels, 100)
    assert (samples == 0.5).all()


def test_a_header_in_pieces_is_read_as_a_whole() -> None:
    source = RawPcm("stdin", Pieces(wav_header(1, 1, 48000, 16) + bytes(1600), 12), MONO)
    with pytest.raises(SourceError, match="WAV header of s16le,48000,1"):
        list(source.blocks())
