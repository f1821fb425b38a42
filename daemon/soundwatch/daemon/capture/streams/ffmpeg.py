"""Addresses that the program ffmpeg reads (cameras, radio), as raw samples on a pipe.

Conventions: the address reaches ffmpeg on its standard input, as a script of its concat demuxer, since every user of
the machine can read a program's arguments. No message holds a secret of the address.
Rule: the reason for an end is a known fault in plain words, else ffmpeg's first line before any sound, its last line
after that.
Source: ffmpeg 5.1 and 7.1; the directive `option` of the script needs ffmpeg 5.
Does not: reconnect (`capture/monitoring/reconnect.py`).
"""

from __future__ import annotations

import contextlib
import errno
import re
import subprocess
import threading
from collections import deque
from functools import lru_cache
from typing import IO, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from soundwatch.daemon.capture.descriptors.pipes import gatherable_s
from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.streams.certificates import CHECKED, certificate_options, quoted
from soundwatch.daemon.capture.streams.connection import Connection
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError
from soundwatch.daemon.core.network.redact import HIDDEN, check_address, redact_text, redact_url

ENDING_S: Final = 0.2
VERSION_S: Final = 5.0
KEPT_LINES: Final = 8
PASSING: Final = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)  # too many files or processes, or no memory
MIN_SECRET: Final = 3  # a shorter one would hide parts of ordinary words
REAL_TIME_SCHEMES: Final = frozenset({"http", "https"})  # radio comes in chunks of seconds, recordings as fast as sent
PROTOCOLS: Final = (
    "pipe,data,crypto,http,httpproxy,https,tcp,tls,udp,udplite,rtp,srtp,rtsp,rtsps,rtmp,rtmpe,rtmps,rtmpt,rtmpte,rtmpts,"
    "ffrtmpcrypt,ffrtmphttp,srt,rist,mmsh,mmst,ftp,sctp,unix,icecast,hls"
)
_CODE: Final = r"(?:returned|failed:|error) "
_NO_MEDIA: Final = "Check the path of the address; in place of a playlist (.m3u, .pls) write an address that it names"
# What ffmpeg prints, and what it means. The first pattern that a line matches gives the reason.
KNOWN_FAULTS: Final = (
    (
        r"matches no streams",
        "the stream has no sound. Switch on audio in the camera's settings, or use another of its streams",
    ),
    (
        _CODE + r"401\b|[Uu]nauthorized|[Aa]uthentication failed",
        "the server refuses the user name or the password (401). Check both, and percent-encode @ / : ? # % in them",
    ),
    (_CODE + r"403\b|Forbidden", "the server refuses access (403). Check the user's permissions"),
    (_CODE + r"404\b|Not Found", "the server has no such stream (404 Not Found). Check the path of the address"),
    (_CODE + r"4[56][0-9]\b", "the server offers no transport that ffmpeg can use. Try RTSP over TCP on the camera"),
    (_CODE + r"4", "the server refuses the request (4XX). It may allow fewer listeners or requests"),
    (_CODE + r"5(XX|[0-9][0-9])\b", "the server fails (5XX). Restart the camera or the server"),
    (r"reset by peer", "the server has reset the connection. Check the port, and try https:// in place of http://"),
    (r"Connection refused", "no program listens at this port (Connection refused). Check the port"),
    (r"No route to host|Network is unreachable", "the host cannot be reached. Check the network"),
    (r"timed out", "the host does not answer (timed out). Check the address and the network"),
    (
        r"Failed to resolve hostname|Name or service not known|Temporary failure in name resolution",
        "the host's name is unknown. Check its spelling, or use the address",
    ),
    (
        r"[Cc]ertificate",
        "the server's certificate is not valid for this address, or its issuer is unknown. Check the address, or set "
        "`certificate` of this source: a file with the certificate of the server or its issuer, or unchecked",
    ),
    (r"TLS|SSL", "the encrypted connection cannot be set up. Check the port, and the server's versions of TLS"),
    (r"Protocol not found|not on whitelist", "ffmpeg does not read this kind of address. Check the part before ://"),
    (r"without an SDP", "this payload type needs a description: save its SDP file, and write file:// and its path"),
    (r"Invalid data found|ends prematurely", f"the server sends no media that ffmpeg reads. {_NO_MEDIA}"),
    (r"No such file or directory", "there is no such file. Write the path of a recording without file://"),
    (
        r"Input/output error",
        "the server has ended the connection, or gives no stream. Check the address if that happens again",
    ),
)


def connect_ffmpeg(url: str, pcm: PcmFormat, certificate: str = CHECKED) -> Connection:
    """Start ffmpeg for a URL.

    Args:
        url: The address.
        pcm: Format of the samples.
        certificate: `checked`, `unchecked`, or a file with issuers (`capture/streams/certificates.py`).

    Raises:
        SourceUnavailableError: ffmpeg is not installed, or cannot check the server's certificate.
        SourceError: ffmpeg cannot be started now.
        ConfigError: The address is ambiguous.
    """
    check_address(url)
    try:
        process, messages = _start_ffmpeg(url, pcm, certificate)
    except OSError as error:
        needs = f"{redact_url(url)} needs the program ffmpeg, which cannot be started: {error.strerror}."
        if error.errno in PASSING:
            raise SourceError(needs) from error
        raise SourceUnavailableError(
            f"{needs} On Debian and Ubuntu install it with `sudo apt-get install ffmpeg`."
        ) from error
    assert process.stdout is not None
    stdout = process.stdout

    def close(*, received: bool) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_S)  # ffmpeg prints its last message right before its end
        process.kill()
        process.wait()
        messages.close()
        stdout.close()
        return explain_end(tuple(messages.last if received else messages.first), received=received)

    longest_gather_s = gatherable_s(stdout, pcm.frame_bytes * pcm.rate_hz)
    return Connection(stdout.fileno(), close, longest_gather_s=longest_gather_s, interrupt=process.terminate)


def _start_ffmpeg(url: str, pcm: PcmFormat, certificate: str) -> tuple[subprocess.Popen[bytes], _Messages]:
    """Start ffmpeg with pipes for the samples and for its messages, and give it the address.

    Raises:
        OSError: ffmpeg cannot be started.
        SourceError: ffmpeg does not tell its version.
        SourceUnavailableError: ffmpeg cannot check the server's certificate.
    """
    scheme = urlsplit(url).scheme.lower()
    pace = ("-re",) if scheme in REAL_TIME_SCHEMES else ()
    protocols = PROTOCOLS if scheme in PROTOCOLS.split(",") else f"{PROTOCOLS},{scheme}"
    source = ("-protocol_whitelist", protocols, "-f", "concat", "-safe", "0", *pace, "-i", "pipe:0")
    output = ("-map", "0:a:0", "-f", pcm.sample_format, "-ar", str(pcm.rate_hz), "-ac", str(pcm.channels), "pipe:1")
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", *source, *output]
    script = _script(url, scheme, certificate)
    process = subprocess.Popen(  # noqa: S603 -- a list without anything of the address
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,  # the daemon handles a terminal's Ctrl-C
    )
    assert process.stdin is not None
    with contextlib.suppress(OSError), process.stdin as stdin:  # it may have ended already; its messages say why
        stdin.write(script.encode())
    assert process.stderr is not None
    try:
        return process, _Messages(process.stderr, url)
    except RuntimeError:  # the system refuses a thread
        process.kill()
        process.wait()
        raise


class _Messages:
    """Messages of ffmpeg without the address's secrets, read in a thread.

    Args:
        pipe: ffmpeg's standard error.
        url: The address.

    Attributes:
        first: The first messages.
        last: The last messages.
    """

    def __init__(self, pipe: IO[bytes], url: str) -> None:
        self.first: list[str] = []
        self.last: deque[str] = deque(maxlen=KEPT_LINES)
        self._pipe = pipe
        self._url = url
        self._reader = threading.Thread(target=self._read, name="ffmpeg-messages", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Wait for the last message of an ffmpeg that has ended, and close the pipe."""
        self._reader.join(ENDING_S)
        if not self._reader.is_alive():
            self._pipe.close()

    def _read(self) -> None:
        for line in self._pipe:
            message = _without_secrets(line.decode(errors="replace").strip(), self._url)
            if message and len(self.first) < KEPT_LINES:
                self.first.append(message)
            self.last.append(message)


def explain_end(messages: tuple[str, ...], *, received: bool) -> str:
    """Choose the reason for an end from ffmpeg's messages, and put known faults into plain words.

    Args:
        messages: Messages without secrets, in order.
        received: True if sound was received, so that the latest message counts; else the first does.
    """
    shown = [message for message in messages if message and "To ignore this" not in message]
    for pattern, reason in KNOWN_FAULTS:
        if any(re.search(pattern, message) for message in (shown[-1:] if received else shown)):
            return f"{reason}."
    return (shown[-1] if received else shown[0]) if shown else ""


def _script(url: str, scheme: str, certificate: str = CHECKED) -> str:
    """Write a script of the concat demuxer with one address.

    Raises:
        SourceUnavailableError: ffmpeg cannot check the server's certificate.
        SourceError: ffmpeg does not tell its version.
    """
    options = certificate_options(redact_url(url), scheme, certificate, takes_options=_reads_options())
    url = scheme + url[len(scheme) :]  # ffmpeg knows schemes in small letters only
    if scheme in ("rtsp", "rtsps"):  # over UDP, lost packets would go unreported
        if _reads_options():
            options = (*options, "rtsp_flags prefer_tcp")
        else:
            url += ("&" if "?" in url else "?") + "tcp"
    return f"ffconcat version 1.0\nfile {quoted(url)}\n{''.join(f'option {option}{chr(10)}' for option in options)}"


@lru_cache(maxsize=1)
def _reads_options() -> bool:
    """Return True if ffmpeg is version 5 or newer, whose scripts may hold options.

    Raises:
        OSError: ffmpeg cannot be started.
        SourceError: ffmpeg does not answer, as on a machine that is starting.
    """
    try:
        shown = subprocess.run(
            ["ffmpeg", "-version"],  # noqa: S607
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=VERSION_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"The program ffmpeg did not tell its version within {VERSION_S:g} s.") from error
    found = re.match(r"ffmpeg version n?(\d+)\.", shown.stdout.decode(errors="replace"))
    return found is None or int(found[1]) >= 5


def _without_secrets(message: str, url: str) -> str:
    """Hide the address's secrets in a message, wherever ffmpeg repeats them."""
    message = redact_text(message.replace(url, redact_url(url)))
    parts = urlsplit(url)
    secrets = {parts.password or "", unquote(parts.password or ""), *(value for _, value in parse_qsl(parts.query))}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_SECRET:
            message = message.replace(secret, HIDDEN)
    return message
