"""Sound over real connections on loopback and through a named pipe."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture import network, open_live_source, open_source, source_kind
from soundwatch.daemon.capture.network import NetworkSource
from soundwatch.daemon.core.errors import ConfigError, SourceError, SourceUnavailableError, StallError
from soundwatch.daemon.core.source import LiveSource, SourceStateChange
from soundwatch.daemon.core.types import Block, Samples
from support.fakes import tone
from support.ports import free_port
from support.rtsp_server import TONE_HZ, RtspServer, why_not

BLOCK_NS = 100_000_000
FORMAT = "s16le,8000,1"
SOUND = (tone(500, 0.5) * 32767).astype("<i2")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders and no poll")


def connect(device: str, pcm: str = FORMAT) -> NetworkSource:
    source = open_source("gate", device, pcm=pcm)
    assert isinstance(source, NetworkSource)
    return source


def collect_until_lost(
    source: LiveSource, times: int, at_first: Callable[[], None] = lambda: None
) -> tuple[list[Block], list[SourceStateChange]]:
    """Collect items until the given number of losses; call `at_first` at the first loss."""
    blocks: list[Block] = []
    changes: list[SourceStateChange] = []
    for item in source.blocks():
        if isinstance(item, Block):
            blocks.append(item)
        elif isinstance(item, SourceStateChange):
            changes.append(item)
            if [plight.state for plight in changes] == ["lost"]:
                at_first()
            if [plight.state for plight in changes].count("lost") == times:
                source.stop()
    return blocks, changes


def joined(blocks: list[Block]) -> Samples:
    return np.concatenate([block.samples for block in blocks], axis=1)


class Server:
    """Server that sends the sound to each client and closes the connection."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"pcm+tcp://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                client.sendall(SOUND.tobytes())

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(10)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


def test_a_server_that_hangs_up_is_connected_to_again(server: Server) -> None:
    source = open_live_source("gate", server.address, pcm=FORMAT)
    blocks, changes = collect_until_lost(source, 2)
    assert [plight.state for plight in changes] == ["lost", "back", "lost"]
    assert "ended" in changes[0].detail
    assert source.info.description == server.address
    received = [block for block in blocks if block.samples.shape[1]]
    sound = SOUND.astype(np.float32) / 2**15
    np.testing.assert_array_equal(joined(received), np.concatenate([sound, sound], axis=1))
    assert sum(block.lost_samples > 0 for block in received) == 1


def test_a_server_that_is_not_there_is_an_error_or_is_waited_for(server: Server) -> None:
    server.close()
    with pytest.raises(SourceError, match="does not answer: Connection refused"):
        open_live_source("gate", server.address, wait=False)
    source = open_live_source("gate", server.address)
    waiting = next(iter(source.blocks()))
    assert isinstance(waiting, SourceStateChange)
    assert (waiting.state, waiting.reason) == ("waiting", "absent")
    source.stop()
    server.close = lambda: None  # type: ignore[method-assign]


def test_a_hundred_disconnects_leave_no_file_open(server: Server) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system has no /proc/self/fd")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        with pytest.raises(SourceError, match="ended"):
            list(connect(server.address).blocks())
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1, "the server may still hold one"


def test_a_connection_without_data_has_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "FIRST_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = connect(f"pcm+tcp://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(StallError, match=r"has delivered nothing for 0\.2 s"):
            list(source.blocks())


def test_a_named_pipe_waits_for_its_next_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "yard")
    source = open_live_source("gate", str(tmp_path / "yard"), pcm=FORMAT)
    writers = [threading.Thread(target=write_cut_short, args=(tmp_path / "yard",)) for _ in range(2)]
    remaining = iter(writers)
    next(remaining).start()
    blocks, changes = collect_until_lost(source, 2, lambda: next(remaining).start())
    for writer in writers:
        writer.join(30)
    assert [plight.state for plight in changes] == ["lost", "back", "lost"]
    assert "no program writes to it" in changes[0].detail
    assert joined(blocks).shape == (1, 2 * SOUND.shape[1])


def write_cut_short(path: Path) -> None:
    """Send the sound and half of a further sample."""
    path.write_bytes(SOUND.tobytes() + b"\0")


@pytest.mark.parametrize(
    "address", ["pcm+tcp://127.0.0.1", "pcm+tcp://:99", "pcm+udp://127.0.0.1", "pcm+udp://127.0.0.1:99?x=1"]
)
def test_an_invalid_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a valid address; write pcm\+(tcp|udp)://HOST:PORT"):
        connect(address)


class Sender:
    """Sends datagrams of 100 ms to a source, each after the previous one was read, with its own clock.

    Args:
        patch: Sets the clock.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_ns = 0
        self.place = ("127.0.0.1", free_port())
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        patch.setattr(network, "monotonic_ns", lambda: self.now_ns)

    def send_to(self, source: NetworkSource, datagrams: list[bytes | None]) -> list[Block]:
        """Return the blocks of these datagrams; None is a lost datagram."""
        received: list[Block] = []
        waiting = iter(datagrams)
        self._send(waiting)
        for block in source.blocks():
            received.append(block)
            if not self._send(waiting):
                source.stop()
        return received

    def _send(self, waiting: Iterator[bytes | None]) -> bool:
        for data in waiting:
            self.now_ns += BLOCK_NS
            if data is not None:
                self.socket.sendto(data, self.place)
                return True
        return False


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    found = Sender(monkeypatch)
    yield found
    found.socket.close()


def test_datagrams_are_read_in_order_of_arrival(sender: Sender) -> None:
    source = connect(f"pcm+udp://127.0.0.1:{sender.place[1]}")
    pieces = [SOUND[:, first : first + 800].tobytes() for first in range(0, SOUND.shape[1], 800)]
    blocks = sender.send_to(source, [pieces[0], pieces[1] + b"\0", *pieces[2:]])  # half a sample spoils no later one
    np.testing.assert_array_equal(joined(blocks), SOUND.astype(np.float32) / 2**15)
    assert {block.lost_samples for block in blocks} == {0}


def test_an_empty_datagram_is_not_the_end(sender: Sender) -> None:
    source = connect(f"pcm+udp://127.0.0.1:{sender.place[1]}")
    sender.socket.sendto(b"", sender.place)
    assert len(sender.send_to(source, [bytes(1600), bytes(1600)])) == 2


@pytest.mark.parametrize("lost_datagrams", [4, 20])
def test_datagrams_that_are_lost_are_missed_by_the_clock(sender: Sender, lost_datagrams: int) -> None:
    source = connect(f"pcm+udp://127.0.0.1:{sender.place[1]}")
    data = bytes(1600)
    blocks = sender.send_to(source, [data] * 50 + [None] * lost_datagrams + [data] * 60)
    assert sum(block.lost_samples for block in blocks) == pytest.approx(800 * lost_datagrams, abs=80)
    assert blocks[-1].first_sample == pytest.approx(800 * (109 + lost_datagrams), abs=80)


def test_short_losses_are_detected_when_their_sum_is_large_enough(sender: Sender) -> None:
    source = connect(f"pcm+udp://127.0.0.1:{sender.place[1]}")
    data = bytes(1600)
    every_fiftieth: list[bytes | None] = [None if number % 50 == 49 else data for number in range(1500)]
    blocks = sender.send_to(source, every_fiftieth)
    assert sum(block.lost_samples for block in blocks) == pytest.approx(800 * 30, abs=2500)


def test_an_address_in_use_is_refused(sender: Sender) -> None:
    address = f"pcm+udp://127.0.0.1:{sender.place[1]}"
    first = connect(address)
    with pytest.raises(SourceError, match="cannot be received: Address already in use"):
        connect(address)
    first.stop()
    assert list(first.blocks()) == []


def send_to_group(place: tuple[str, int], stop: threading.Event) -> None:
    """Send blocks to a multicast group over loopback until stopped."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        while not stop.wait(0.02):
            sender.sendto(SOUND.tobytes()[:1600], place)


@pytest.mark.parametrize("interface", ["", "?interface=127.0.0.1"])
def test_a_multicast_group_is_joined_by_two_sources_of_one_address(interface: str) -> None:
    place = ("239.255.41.7", free_port())
    address = f"pcm+udp://{place[0]}:{place[1]}{interface}"
    sources = [connect(address), connect(address)]
    stop = threading.Event()
    sender = threading.Thread(target=send_to_group, args=(place, stop))
    sender.start()
    try:
        for source in sources:
            block = next(iter(source.blocks()))
            np.testing.assert_allclose(block.samples[0], SOUND[0, :800] / 2**15, atol=1e-4)
            source.stop()
    finally:
        stop.set()
        sender.join(10)


def test_an_ipv6_group_is_joined_on_its_interface() -> None:
    port = free_port()
    index = socket.if_nametoindex("lo")
    source = connect(f"pcm+udp://[ff01::4242]:{port}?interface=lo")
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            try:
                sender.sendto(SOUND.tobytes()[:1600], ("ff01::4242", port, 0, index))
            except OSError as error:
                source.stop()
                list(source.blocks())
                pytest.skip(f"this machine sends no IPv6 multicast: {error}")
        assert next(iter(source.blocks())).samples.shape == (1, 800)
    finally:
        source.stop()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("pcm+udp://239.255.41.7:{port}?interface=203.0.113.9", "cannot be received"),
        ("pcm+udp://127.0.0.1:{port}?interface=127.0.0.1", "which only a multicast address needs"),
    ],
)
def test_an_interface_that_cannot_be_used_is_refused(address: str, message: str) -> None:
    with pytest.raises((SourceError, ConfigError), match=message):
        connect(address.format(port=free_port()))


def test_other_devices_are_no_connections(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    for device in ("USB PnP", "pulse:yard", "-", "demo", "2", str(tmp_path / "a.wav"), str(tmp_path)):
        assert source_kind(device).encrypted is None


def test_without_ffmpeg_the_message_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceUnavailableError, match="sudo apt-get install ffmpeg"):
        open_live_source("gate", "rtsp://me:secret@camera/1")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Start a web server with a recording, and return its address; skip without ffmpeg."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("URLs are read through ffmpeg, which is not installed")
    soundfile.write(tmp_path / "live.flac", tone(500, 2.0, 44_100).repeat(2, axis=0).T, 44_100)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join(10)


@pytest.mark.slow
def test_a_url_is_read_through_ffmpeg_and_reopened_at_its_end(web: str) -> None:
    source = open_live_source("gate", f"{web}/live.flac", pcm=FORMAT)
    blocks, changes = collect_until_lost(source, 2)
    assert [plight.state for plight in changes] == ["lost", "back", "lost"]
    sound = joined(blocks)
    assert sound.shape[1] == pytest.approx(2 * 2 * 8000, abs=400)
    np.testing.assert_allclose(sound[0, 4000:8000], tone(500, 0.5)[0], atol=0.02)


@pytest.mark.slow
def test_a_missing_stream_is_reported_as_such_and_not_as_an_option_of_ffmpeg(web: str) -> None:
    with pytest.raises(SourceError, match=r"/nowhere.flac ended: the server has no such stream \(404 Not Found\)"):
        list(connect(f"{web}/nowhere.flac").blocks())


@pytest.mark.slow
def test_no_secret_of_an_address_is_in_an_argument_or_a_message(web: str) -> None:
    secret = "hunter2%21"  # noqa: S105
    host = web.removeprefix("http://")
    source = connect(f"http://me:{secret}@{host}/live.flac?user=me&password={secret}")
    arguments = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert any(b"ffmpeg" in command and b"concat" in command for command in arguments)
    assert not any(b"hunter2" in command for command in arguments)
    assert "hunter2" not in source.info.description
    source.stop()
    list(source.blocks())
    with pytest.raises(SourceError) as ended:
        list(connect(f"http://me:{secret}@{host}/nowhere?user=me&password={secret}").blocks())
    assert "hunter2" not in str(ended.value)
    assert "***" in str(ended.value)


@pytest.mark.slow
def test_a_quote_in_an_address_does_not_end_the_address(web: str, tmp_path: Path) -> None:
    (tmp_path / "a'b.flac").write_bytes((tmp_path / "live.flac").read_bytes())
    source = connect(f"{web}/a'b.flac")
    assert next(source.blocks()).samples.shape[1]
    source.stop()


@pytest.mark.slow
def test_a_stream_without_sound_is_reported_with_a_remedy(web: str, tmp_path: Path) -> None:
    picture = ("-f", "lavfi", "-i", "testsrc=duration=1:size=64x64:rate=5", "-c:v", "mjpeg")
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", *picture, str(tmp_path / "silent.mkv")], check=True)
    with pytest.raises(SourceError, match=r"the stream has no sound\. Switch on audio in the camera's settings"):
        list(connect(f"{web}/silent.mkv").blocks())


@pytest.fixture
def camera() -> Iterator[RtspServer]:
    """Start a camera that plays a tone, or skip."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    server = RtspServer()
    yield server
    server.kill()


@pytest.mark.slow
def test_a_camera_delivers_sound_again_after_an_outage(camera: RtspServer) -> None:
    source = open_live_source("gate", camera.url, pcm=FORMAT)
    received, states = 0.0, []
    blocks: list[Block] = []
    for item in source.blocks():
        if isinstance(item, SourceStateChange):
            states.append(item.state)
            if item.state == "lost":
                camera.start()
            if item.state == "back":
                source.stop()
        elif isinstance(item, Block) and not states:
            blocks.append(item)
            received += item.samples.shape[1] / 8000
            if received >= 2 and received - item.samples.shape[1] / 8000 < 2:
                camera.kill()
    assert states == ["lost", "back"]
    spectrum = np.abs(np.fft.rfft(joined(blocks)[0, 8000:16_000]))
    assert int(spectrum.argmax()) == TONE_HZ, "a second of it has a bin for each Hz"


@pytest.mark.slow
def test_a_camera_that_is_not_there_is_waited_for(camera: RtspServer) -> None:
    camera.kill()
    source = open_live_source("gate", camera.url, pcm=FORMAT)
    states = []
    for item in source.blocks():
        if isinstance(item, SourceStateChange):
            states.append((item.state, item.reason))
            if item.state == "waiting":
                assert "Connection refused" in item.detail
                camera.start()
            else:
                source.stop()
    assert states == [("waiting", "absent"), ("back", "absent")]


@pytest.mark.slow
def test_http_from_ffmpeg_is_read_in_real_time(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("URLs are read through ffmpeg, which is not installed")
    address = f"http://127.0.0.1:{free_port()}/live.flac"
    tone_of = ("-re", "-f", "lavfi", "-i", "sine=frequency=500:duration=2")
    sending = ["ffmpeg", "-nostdin", "-loglevel", "error", *tone_of, "-f", "flac", "-listen", "1", address]
    source = open_live_source("gate", address, pcm=FORMAT)
    with subprocess.Popen(sending) as server:
        blocks, changes = collect_until_lost(source, 1)
        server.kill()
    assert [plight.state for plight in changes][-1] == "lost"
    assert joined(blocks).shape[1] == pytest.approx(2 * 8000, abs=800)
