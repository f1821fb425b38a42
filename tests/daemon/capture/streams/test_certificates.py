"""Certificates of web servers whose streams ffmpeg reads."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile
import trustme

from soundwatch.daemon.capture import open_source
from soundwatch.daemon.capture.streams.certificates import certificate_options, check_certificate
from soundwatch.daemon.core.errors import ConfigError, SourceError, SourceUnavailableError
from soundwatch.daemon.core.records.source import Source
from support.fakes import tone
from support.network_sources import FORMAT


class Files(http.server.SimpleHTTPRequestHandler):
    """The files of a folder, and a redirection to another server."""

    elsewhere = ""

    def do_GET(self) -> None:
        if self.path != "/elsewhere":
            super().do_GET()
            return
        self.send_response(302)
        self.send_header("Location", self.elsewhere)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """A server that reports no client that ends the handshake."""

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path, context: ssl.SSLContext | None = None) -> Iterator[int]:
    with Server(("127.0.0.1", 0), functools.partial(Files, directory=str(folder))) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(10)


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[int]:
    """Serve a recording over TLS with a certificate for localhost, whose issuer is in issuer.pem."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("URLs are read through ffmpeg, which is not installed")
    soundfile.write(tmp_path / "a.flac", tone(500, 0.5, 8000).T, 8000)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "issuer.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serving(tmp_path, context) as port:
        yield port


def reason_of(source: Source) -> tuple[bool, str]:
    """Return whether sound has come, and the reason for its end."""
    with pytest.raises(SourceError) as ended:
        deque(source.blocks(), maxlen=0)
    return bool(source.start_unix_ns), str(ended.value)


@pytest.mark.slow
def test_a_certificate_is_checked_unless_the_configuration_says_otherwise(encrypted: int, tmp_path: Path) -> None:
    address = f"https://localhost:{encrypted}/a.flac"
    sound, reason = reason_of(open_source("radio", address, pcm=FORMAT))
    assert not sound
    assert "certificate is not valid for this address, or its issuer is unknown" in reason
    assert "set `certificate` of this source" in reason
    issuer = tmp_path / "it's the issuer.pem"
    issuer.write_bytes((tmp_path / "issuer.pem").read_bytes())
    assert reason_of(open_source("radio", address, pcm=FORMAT, certificate=str(issuer)))[0]
    wrong_host = address.replace("localhost", "127.0.0.1")
    sound, reason = reason_of(open_source("radio", wrong_host, pcm=FORMAT, certificate=str(issuer)))
    assert (sound, "not valid for this address" in reason) == (False, True)
    unchecked = open_source("radio", wrong_host, pcm=FORMAT, certificate="unchecked")
    assert unchecked.info.description == f"{wrong_host}, certificate unchecked"
    assert reason_of(unchecked)[0]


@pytest.mark.slow
def test_the_certificate_behind_a_redirection_is_checked_too(
    encrypted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Files, "elsewhere", f"https://localhost:{encrypted}/a.flac")
    with serving(tmp_path) as port:
        address = f"http://127.0.0.1:{port}/elsewhere"
        sound, reason = reason_of(open_source("radio", address, pcm=FORMAT))
        assert (sound, "its issuer is unknown" in reason) == (False, True)
        assert reason_of(open_source("radio", address, pcm=FORMAT, certificate=str(tmp_path / "issuer.pem")))[0]


@pytest.mark.parametrize(("scheme", "takes_options"), [("rtsps", True), ("rtmps", True), ("https", False)])
def test_a_certificate_that_ffmpeg_cannot_check_has_to_be_allowed(scheme: str, takes_options: bool) -> None:
    with pytest.raises(
        SourceUnavailableError, match=f"ffmpeg.* has none for {scheme}://. Set `certificate: unchecked`"
    ):
        certificate_options(f"{scheme}://camera/1", scheme, "checked", takes_options=takes_options)
    assert certificate_options(f"{scheme}://camera/1", scheme, "unchecked", takes_options=takes_options) == ()


def test_an_address_without_encryption_needs_no_option() -> None:
    assert certificate_options("rtsp://camera/1", "rtsp", "checked", takes_options=True) == ()
    assert certificate_options("http://camera/1", "http", "checked", takes_options=False) == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"no certificate", "is no file of certificates"), (b"", "is no file of certificates")],
)
def test_a_file_without_certificates_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "issuer.pem").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        check_certificate(str(tmp_path / "issuer.pem"))


def test_a_file_of_certificates_may_lie_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "issuer.pem"))
    monkeypatch.setenv("HOME", str(tmp_path))
    check_certificate("~/issuer.pem")
    options = certificate_options("https://radio/1", "https", "~/issuer.pem", takes_options=True)
    assert options[-1] == f"ca_file '{tmp_path / 'issuer.pem'}'"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes in folders")
def test_a_pipe_of_certificates_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "issuer.pem")
    with pytest.raises(ConfigError, match="it is not a regular file"):
        check_certificate(str(tmp_path / "issuer.pem"))


def test_an_empty_certificate_is_refused_and_a_word_is_none() -> None:
    with pytest.raises(ConfigError, match="certificate is empty"):
        check_certificate("")
    with pytest.raises(ConfigError, match="certificate is 'no', which is no file of certificates"):
        check_certificate("no")
