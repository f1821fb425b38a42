"""Reasons for the end of a stream, from ffmpeg's messages."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.streams import ffmpeg
from soundwatch.daemon.capture.streams.ffmpeg import connect_ffmpeg, explain_end
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError


@pytest.fixture(autouse=True)
def unknown_version() -> Iterator[None]:
    """Let each test ask for the version of its ffmpeg."""
    ffmpeg._reads_options.cache_clear()
    yield
    ffmpeg._reads_options.cache_clear()


NO_SOUND = (
    "Stream map '0:a:0' matches no streams.",
    "To ignore this, add a trailing '?' to the map.",
)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (NO_SOUND, "the stream has no sound"),
        (("[rtsp @ 0x1] method DESCRIBE failed: 401 Unauthorized", "pipe:0: Server returned 401"), "refuses the user"),
        (("pipe:0: Server returned 403 Forbidden (access denied)",), "refuses access"),
        (("pipe:0: Server returned 404 Not Found",), "no such stream"),
        (("[tcp @ 0x1] Connection to tcp://host:554 failed: Connection refused", "pipe:0: x"), "no program listens"),
        (("[tcp @ 0x1] Failed to resolve hostname nvr: Name or service not known",), "name is unknown"),
        (("pipe:0: Connection timed out",), "does not answer"),
        (("pipe:0: No route to host",), "cannot be reached"),
        (("pipe:0: Protocol not found",), "does not read this kind of address"),
        (("pipe:0: Invalid data found when processing input",), "sends no media"),
        (("[http @ 0x1] Stream ends prematurely at 34, should be 1", "pipe:0: Input/output error"), "(.m3u, .pls)"),
        (("[concat @ 0x1] Impossible to open 'http://host/loop'", "pipe:0: Input/output error"), "has ended the conn"),
        (("pipe:0: Server returned 4XX Client Error, but not one of 40{0,1,3,4}",), "refuses the request (4XX)"),
        (("pipe:0: Connection reset by peer",), "try https://"),
        (
            ("[rtp @ 0x1] Unable to receive RTP payload type 97 without an SDP file", "pipe:0: Invalid data found"),
            "save its SDP file",
        ),
        (("pipe:0: No such file or directory",), "without file://"),
        (("first cause", "second", "third"), "first cause"),
        ((), ""),
    ],
)
def test_the_first_known_fault_before_any_sound_is_the_reason(messages: tuple[str, ...], reason: str) -> None:
    assert explain_end(messages, received=False).startswith(reason) or reason in explain_end(messages, received=False)


def test_the_last_message_after_sound_is_the_reason() -> None:
    messages = ("[aac] decode error 404", "[http @ 0x1] Stream ends prematurely at 9", "pipe:0: Input/output error")
    assert explain_end(messages, received=True).startswith("the server has ended the connection")
    assert explain_end((*messages, "another"), received=True) == "another"


@pytest.mark.parametrize(
    ("version", "script"),
    [
        ("ffmpeg version 5.1.9-0+deb12u1 Copyright", "file 'rtsp://cam/1?a=b'\noption rtsp_flags prefer_tcp\n"),
        ("ffmpeg version n7.1 Copyright", "file 'rtsp://cam/1?a=b'\noption rtsp_flags prefer_tcp\n"),
        ("ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright", "file 'rtsp://cam/1?a=b&tcp'\n"),
        ("ffmpeg version N-1-gabc Copyright", "file 'rtsp://cam/1?a=b'\noption rtsp_flags prefer_tcp\n"),
    ],
)
def test_a_camera_is_read_over_tcp_with_each_version_of_ffmpeg(
    monkeypatch: pytest.MonkeyPatch, version: str, script: str
) -> None:
    def shown(*_: Any, **__: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess([], 0, version.encode())

    monkeypatch.setattr(subprocess, "run", shown)
    assert ffmpeg._script("RTSP://cam/1?a=b", "rtsp") == f"ffconcat version 1.0\n{script}"


@pytest.mark.skipif(os.name == "nt", reason="the program is a script")
def test_an_ffmpeg_that_does_not_tell_its_version_in_time_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(ffmpeg, "VERSION_S", 0.1)
    with pytest.raises(SourceError, match="did not tell its version within") as caught:
        connect_ffmpeg("http://radio/1", PcmFormat.parse("s16le,8000,1"))
    assert not isinstance(caught.value, SourceUnavailableError)


@pytest.mark.parametrize(
    ("number", "final"), [(errno.EMFILE, False), (errno.ENOMEM, False), (errno.ENOENT, True), (errno.EACCES, True)]
)
def test_an_ffmpeg_that_cannot_be_started_for_a_shortage_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, number: int, final: bool
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(SourceError, match=f"cannot be started: {os.strerror(number)}") as caught:
        connect_ffmpeg("http://radio/1", PcmFormat.parse("s16le,8000,1"))
    assert isinstance(caught.value, SourceUnavailableError) is final
