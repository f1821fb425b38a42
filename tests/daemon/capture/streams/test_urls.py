"""Streams of web servers and cameras, read through ffmpeg."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture import open_live_source
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceStateChange
from support.fakes import tone
from support.network_sources import FORMAT, collect_until_lost, connect, joined
from support.ports import free_port
from support.rtsp_server import TONE_HZ, RtspServer, why_not

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders and no poll")


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
    assert [change.state for change in changes] == ["lost", "back", "lost"]
    sound = joined(blocks)
    assert sound.shape[1] == pytest.approx(2 * 2 * 8000, abs=400)
    np.testing.assert_allclose(sound[0, 4000:8000], tone(500, 0.5)[0], atol=0.02)


@pytest.mark.slow
def test_a_missing_stream_is_reported_as_such_and_not_as_an_option_of_ffmpeg(web: str) -> None:
    with pytest.raises(SourceError, match=r"/nowhere.flac ended: the server has no such stream \(404 Not Found\)"):
        list(connect(f"{web}/nowhere.flac").blocks())


def _command_lines() -> list[bytes]:
    """Return the arguments of all programs that run."""
    lines = list[bytes]()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # another program has ended
            lines.append(path.read_bytes())
    return lines


@pytest.mark.slow
def test_no_secret_of_an_address_is_in_an_argument_or_a_message(web: str, tmp_path: Path) -> None:
    soundfile.write(
        tmp_path / "long.flac", np.zeros(240 * 8000, np.int16), 8000
    )  # more than a pipe holds, so ffmpeg stays
    secret = "hunter2%21"  # noqa: S105
    host = web.removeprefix("http://")
    source = connect(f"http://me:{secret}@{host}/long.flac?user=me&password={secret}")
    until_s = time.monotonic() + 60
    arguments = _command_lines()  # a program has none for a moment after its start
    while not any(b"ffmpeg" in command and b"concat" in command for command in arguments):
        assert time.monotonic() < until_s
        arguments = _command_lines()
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
    assert [change.state for change in changes][-1] == "lost"
    assert joined(blocks).shape[1] == pytest.approx(2 * 8000, abs=800)
