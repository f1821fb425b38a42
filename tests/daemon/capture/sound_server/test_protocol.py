"""The protocol of sound servers: messages, and servers that do not follow the protocol."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soundwatch.daemon.capture.descriptors.pipes import LONGEST_GATHER_S
from soundwatch.daemon.capture.sound_server import connection as sound_server_connection
from soundwatch.daemon.capture.sound_server.connection import SERVER_BYTES
from soundwatch.daemon.capture.sound_server.protocol import (
    CONTROL,
    MAX_FRAME_BYTES,
    MAX_MESSAGE_BYTES,
    Command,
    FrameBuffer,
    SampleSpecification,
    ServerError,
    decode_message,
    decode_sources,
    encode_message,
)
from soundwatch.daemon.capture.sound_server.source import longest_gather_s, open_server_source
from soundwatch.daemon.core.errors import SourceError
from support.fake_sound_server import DESK, FORM, FakeServer, reply

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no Unix sockets")

FOREIGN = (Command.ERROR, Command.EVENT, Command.STREAM_MOVED)  # a volume, say


def body_of(*fields: object) -> bytes:
    """Return a message's body: a command, a number and arguments."""
    return encode_message(*fields)[20:]  # type: ignore[arg-type]


def frame(body: bytes, channel: int = CONTROL, flags: int = 0) -> bytes:
    return struct.pack(">IIIII", len(body), channel, 0, 0, flags) + body


def test_messages_are_decoded_as_they_were_encoded() -> None:
    arguments = [7, "desk é", None, True, False, b"\0secret", (1, 2), FORM, {"name": b"x\0", "empty": b""}]
    assert decode_message(body_of(Command.GET_SOURCE, 5, *arguments)) == (Command.GET_SOURCE, 5, arguments)


def test_numbers_of_each_size_times_and_volumes_are_decoded() -> None:
    fields = b"B\x07" + b"R" + bytes(7) + b"\x08" + b"r" + b"\xff" * 8 + b"U" + bytes(8) + b"T" + bytes(8)
    fields += b"v\x02" + struct.pack(">II", 1, 65536) + b"V" + struct.pack(">I", 9)
    assert decode_message(body_of(Command.REPLY, 0) + fields)[2] == [7, 8, -1, 0, 0, (1, 65536), 9]


@pytest.mark.parametrize(
    "fields",
    [
        b"L\0\0",
        b"tno end",
        b"x\xff\xff\xff\xffshort",
        b"a\x05",
        b"m\x20\1\2",
        b"v\x20\1\2",
        b"P",
        b"P" * 5000,
        b"PL\0\0\0\0L\0\0\0\0N",
        b"Pta\0L\0\0\0\x09x\0\0\0\x01aN",
        b"Pta\0N",
        b"?",
    ],
)
def test_a_faulty_field_is_an_error(fields: bytes) -> None:
    with pytest.raises(ServerError, match="sent a message with a faulty field"):
        decode_message(body_of(Command.REPLY, 1) + fields)


@pytest.mark.parametrize("body", [b"", b"N", b"L\0\0\0\2", b"ta\0L\0\0\0\1"])
def test_a_message_without_a_command_and_a_number_is_an_error(body: bytes) -> None:
    with pytest.raises(ServerError, match="sent a message without a command"):
        decode_message(body)


def test_frames_that_arrive_byte_by_byte_are_whole() -> None:
    stream = frame(b"sound", 0) + frame(b"", 0) + frame(b"message")
    buffer = FrameBuffer()
    found = [whole for at in range(len(stream)) for whole in buffer.add(stream[at : at + 1])]
    assert found == [(0, b"sound"), (0, b""), (CONTROL, b"message")] == FrameBuffer().add(stream)


@pytest.mark.parametrize(("length", "flags"), [(MAX_FRAME_BYTES + 1, 0), (8, 0x80000000), (0, 0x40000000)])
def test_a_frame_that_is_too_long_or_in_shared_memory_is_an_error(length: int, flags: int) -> None:
    with pytest.raises(ServerError, match=f"sent a frame of {length} bytes"):
        FrameBuffer().add(struct.pack(">IIIII", length, 0, 0, 0, flags))


def test_a_message_is_shorter_than_sound_may_be() -> None:
    for channel, length in ((0, MAX_MESSAGE_BYTES + 1), (CONTROL, MAX_MESSAGE_BYTES)):
        assert FrameBuffer().add(struct.pack(">IIIII", length, channel, 0, 0, 0)) == []
    with pytest.raises(ServerError, match=f"sent a frame of {MAX_MESSAGE_BYTES + 1} bytes"):
        FrameBuffer().add(struct.pack(">IIIII", MAX_MESSAGE_BYTES + 1, CONTROL, 0, 0, 0))


def test_a_name_does_not_end_its_field_early() -> None:
    assert decode_message(body_of(Command.GET_SOURCE, 1, "a\0b", 7))[2] == ["a?b", 7]


def test_sound_waits_for_a_read_no_longer_than_the_server_keeps_it() -> None:
    assert longest_gather_s(44_100 * 2 * 4) == LONGEST_GATHER_S
    assert longest_gather_s(96_000 * 32 * 4) * 96_000 * 32 * 4 == SERVER_BYTES / 2


@pytest.mark.parametrize("number", [1, 5, 14, 16, 29])
def test_a_list_of_sources_that_ends_early_is_an_error(number: int) -> None:
    assert [source.name for source in decode_sources([*DESK, *DESK])] == ["desk", "desk"]
    assert decode_sources([]) == []
    with pytest.raises(ServerError, match="sent a source with fields missing"):
        decode_sources([*DESK, *DESK][:number])


@pytest.mark.parametrize(("form", "positions"), [((5, 2, 0), (1, 2)), ((5, 0, 8000), ()), ((5, 2, 8000), (1,))])
def test_a_source_of_no_possible_form_is_an_error(form: tuple[int, int, int], positions: tuple[int, ...]) -> None:
    with pytest.raises(ServerError, match="faulty fields"):
        decode_sources([3, "desk", None, SampleSpecification(*form), positions, *range(10)])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeServer]:
    monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
    monkeypatch.setenv("PULSE_SERVER", "unix:native")
    monkeypatch.setattr(sound_server_connection, "MAX_FRAME_BYTES", 1 << 16)
    started = FakeServer(Path("native"))
    yield started
    started.close(Path("native"))


def sound(channel: int = 0) -> bytes:
    return frame(bytes(6400), channel)


def test_sound_is_read_beside_messages_of_no_interest(server: FakeServer) -> None:
    others = b"".join(encode_message(command, CONTROL, 0x13, 3) for command in FOREIGN) + frame(body_of(107, 0, "new"))
    others += encode_message(Command.STREAM_SUSPENDED, CONTROL, 1, False)
    killed = encode_message(Command.STREAM_KILLED, CONTROL, 0)
    blocks = open_server_source("mic0", "pulse", None).blocks()
    server.send(sound() + others + sound() + killed)
    assert next(blocks).samples.shape == (2, 1600)
    with pytest.raises(SourceError, match="pulse, desk ended: it was removed"):
        next(blocks)


@pytest.mark.parametrize(
    ("channels", "positions"),
    [(None, (1, 2)), (1, (0,)), (2, (1, 2)), (3, (1, 2, 5)), (4, (1, 2, 5, 6))],
)
def test_a_source_of_many_channels_is_mixed_to_two_unless_configured(
    server: FakeServer, channels: int | None, positions: tuple[int, ...]
) -> None:
    server.answers[Command.GET_SOURCE] = reply(
        *(3, "desk", None, SampleSpecification(5, 4, 8000), (1, 2, 5, 6), *range(9), {})
    )
    form = SampleSpecification(5, len(positions), 8000)
    server.answers[Command.CREATE_RECORD_STREAM] = reply(0, 9, 1 << 22, 6400, form, positions, 3, "desk", False, 0)
    source = open_server_source("mic0", "pulse:desk", channels)
    source.stop()
    assert list(source.blocks()) == []
    assert source.info.channels == len(positions)
    command, _, arguments = server.requests[-1]
    assert (command, arguments[:4]) == (Command.CREATE_RECORD_STREAM, [form, positions, CONTROL, "desk"])


@pytest.mark.parametrize(("own", "recorded"), [(0, 3), (1, 3), (3, 3), (4, 3), (5, 5), (7, 5), (9, 5), (11, 5)])
def test_a_source_of_16_bits_is_recorded_in_16_bits_and_waits_twice_as_long(
    server: FakeServer, own: int, recorded: int
) -> None:
    form = SampleSpecification(recorded, 2, 8000)
    server.answers[Command.GET_SOURCE] = reply(
        3, "desk", None, SampleSpecification(own, 2, 8000), (1, 2), *range(9), {}
    )
    server.answers[Command.CREATE_RECORD_STREAM] = reply(0, 9, 1 << 22, 6400, form, (1, 2), 3, "desk", False, 0)
    blocks = open_server_source("mic0", "pulse:desk", None).blocks()
    server.send(frame(bytes.fromhex("0040") * 6400, 0) if recorded == 3 else frame(bytes.fromhex("0000003f") * 1600, 0))
    server.send(encode_message(Command.STREAM_KILLED, CONTROL, 0))
    assert (next(blocks).samples == 0.5).all()
    with pytest.raises(SourceError, match="it was removed"):
        next(blocks)
    assert server.requests[-1][2][0] == form


def test_names_of_sources_do_not_control_a_terminal(server: FakeServer) -> None:
    server.answers[Command.GET_SOURCES] = reply(3, "a\33[2J\nb", *DESK[2:])
    server.answers[Command.GET_SOURCE] = lambda number: encode_message(Command.ERROR, number, 5)
    with pytest.raises(SourceError) as caught:
        open_server_source("mic0", "pulse:desk", None)
    assert str(caught.value).endswith("It has these:\n  pulse:a\\x1b[2J\\nb")


def test_sound_before_the_removal_of_its_source_is_kept(server: FakeServer) -> None:
    blocks = open_server_source("mic0", "pulse:desk", None).blocks()
    server.send(sound())
    next(blocks)
    server.send(sound() * 2)
    server.send_to_watch(encode_message(Command.EVENT, CONTROL, 0x21, DESK[0]))
    assert next(blocks).samples.shape == (2, 1600)
    with pytest.raises(SourceError, match="pulse:desk ended: it was removed"):
        next(blocks)


def test_sound_in_place_of_messages_is_not_kept(server: FakeServer) -> None:
    blocks = open_server_source("mic0", "pulse:desk", None).blocks()
    server.send_to_watch(sound())
    with pytest.raises(SourceError, match="pulse:desk ended: the sound server sent sound without a stream"):
        next(blocks)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (struct.pack(">IIIII", 0xFFFFFFF0, 0, 0, 0, 0), "the sound server sent a frame of 4294967280 bytes"),
        (frame(b"?"), "the sound server sent a message with a faulty field"),
        (encode_message(Command.STREAM_SUSPENDED, CONTROL, 0, True), "the sound server has suspended it"),
        (
            encode_message(Command.STREAM_MOVED, CONTROL, 0, 4, "other"),
            "it was removed: the sound server has replaced it",
        ),
    ],
)
def test_what_a_server_sends_after_sound_is_a_loss_with_a_reason(server: FakeServer, rest: bytes, message: str) -> None:
    blocks = open_server_source("mic0", "pulse:desk", None).blocks()
    server.send(sound())
    next(blocks)
    server.send(rest)
    with pytest.raises(SourceError, match=f"pulse:desk ended: {message}"):
        next(blocks)


@pytest.mark.parametrize(
    ("command", "answer", "message"),
    [
        (Command.AUTHENTICATE, None, "the sound server ended the connection (unix:native)"),
        (Command.AUTHENTICATE, lambda n: encode_message(Command.ERROR, n, 1), "denies access with"),
        (Command.AUTHENTICATE, lambda n: encode_message(Command.ERROR, n), "refuses a request with error 0"),
        (Command.AUTHENTICATE, lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", "sent a frame of 1213486160 bytes"),
        (Command.SET_CLIENT_NAME, lambda _: sound(), "sent sound without a stream"),
        (Command.CREATE_RECORD_STREAM, lambda _: sound() * 30, "sent sound in place of a reply"),
        (Command.GET_SOURCE, reply(), "the sound server sent 0 sources in place of one"),
        (Command.GET_SOURCE, reply(*DESK[:-1]), "the sound server sent a source with fields missing"),
        (Command.GET_SOURCE, lambda n: encode_message(Command.ERROR, n, 5), "It has these:\n  pulse:desk"),
        (Command.CREATE_RECORD_STREAM, reply(0), "the sound server sent a stream of another form than requested"),
        (Command.CREATE_RECORD_STREAM, lambda n: encode_message(Command.ERROR, n, 3), "refuses a request with error 3"),
    ],
)
def test_a_server_that_does_not_follow_the_protocol_is_an_error(
    server: FakeServer, command: Command, answer: Callable[[int], bytes] | None, message: str
) -> None:
    del server.answers[command]
    if answer is not None:
        server.answers[command] = answer
    with pytest.raises(SourceError) as caught:
        open_server_source("mic0", "pulse:desk", None)
    assert message in str(caught.value)


def test_a_server_that_does_not_reply_is_an_error(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_server_connection, "REPLY_S", 0.1)
    server.answers[Command.AUTHENTICATE] = lambda _: b""
    with pytest.raises(SourceError, match=r"does not answer within 0.1 s \(unix:native\)"):
        open_server_source("mic0", "pulse:desk", None)
    server.answers[Command.AUTHENTICATE] = reply(35)
    server.answers[Command.CREATE_RECORD_STREAM] = lambda _: b""
    with pytest.raises(SourceError, match=r"does not answer within 0.1 s\. It hangs, or PipeWire .* \(WirePlumber\)"):
        open_server_source("mic0", "pulse:desk", None)
