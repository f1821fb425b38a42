"""Addresses and cookie of the sound server, and connections, as the servers' own client library finds them.

Conventions: an address is the path of a Unix socket, or host and port. The variables `PULSE_SERVER`, `PULSE_SOURCE` and
`PULSE_COOKIE` come before `client.conf` (the file of `PULSE_CLIENTCONFIG`, of the user, or of the system). Without an
address there, the server of the user and the one of the system are tried. A variable without a value counts as missing.
Source: the manual pages pulse-client.conf(5) and pulseaudio(1).
Does not: read the properties of an X11 display, or start a server.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from soundwatch.daemon.capture.sound_server.protocol import ServerError, ServerHangsError
from soundwatch.daemon.core.errors import SourceError

PORT: Final = 4713
COOKIE_BYTES: Final = 256
MAX_CONFIG_BYTES: Final = 1 << 16

Address = str | tuple[str, int]


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Settings of a client of the sound server.

    Attributes:
        addresses: Addresses to try in order: paths of Unix sockets, or host and port.
        source: Name of the default source; None for the server's.
        cookie: Secret that a server of another user or machine asks for; zeros without one.
        cookie_origin: File of the cookie, or the reasons why there is none, as the end of a sentence.
    """

    addresses: tuple[Address, ...]
    source: str | None
    cookie: bytes
    cookie_origin: str


def client_settings() -> ClientSettings:
    """Return the settings of this process's environment and user.

    Raises:
        SourceError: An address is malformed.
    """
    config = _read_config()
    servers = os.environ.get("PULSE_SERVER") or config.get("default-server", "")
    cookie = os.environ.get("PULSE_COOKIE") or config.get("cookie-file", "")
    cookies = [Path(cookie)] if cookie else [_user_folder() / "cookie", Path("~/.pulse-cookie")]
    secret, origin = _find_cookie(cookies)
    return ClientSettings(
        tuple(map(parse_address, servers.split())) or usual_sockets(),
        os.environ.get("PULSE_SOURCE") or config.get("default-source") or None,
        secret,
        origin,
    )


def parse_address(text: str) -> Address:
    """Parse unix:PATH, PATH, tcp:HOST, tcp:HOST:PORT, HOST or HOST:PORT; IPv6 addresses are in brackets.

    Raises:
        SourceError: The address is malformed.
    """
    if text.startswith(("unix:", "/")):
        return text.removeprefix("unix:")
    place = text.partition(":")[2] if text.startswith(("tcp:", "tcp4:", "tcp6:")) else text
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.netloc != place:
        raise SourceError(
            f"The sound server's address {text!r} is malformed. Set PULSE_SERVER to unix:PATH, tcp:HOST or "
            "tcp:HOST:PORT."
        )
    return host, port or PORT


def show_address(address: Address) -> str:
    """Return an address in the form of `PULSE_SERVER`."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address
    return f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}"


def usual_sockets() -> tuple[Address, ...]:
    """Return the sockets of a server of this user, and of the system's."""
    folders = list[Path]()
    if named := os.environ.get("PULSE_RUNTIME_PATH"):
        folders.append(Path(named))
    elif named := os.environ.get("XDG_RUNTIME_DIR"):
        folders.append(Path(named) / "pulse")
    else:  # as under cron, or after `su`
        if hasattr(os, "getuid"):
            folders.append(Path(f"/run/user/{os.getuid()}/pulse"))
        with contextlib.suppress(OSError, ValueError):
            machine = Path("/etc/machine-id").read_text("ascii").strip()
            folders.append(_user_folder() / f"{machine}-runtime")
    return tuple(str(folder / "native") for folder in (*folders, Path("/run/pulse")))


def connect_address(address: Address, timeout_s: float) -> socket.socket:
    """Connect to an address, with a time limit on each later operation.

    Raises:
        ServerHangsError: The server does not answer in time.
        ServerError: No server answers there.
    """
    try:
        if not isinstance(address, str):
            return socket.create_connection(address, timeout_s)
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.settimeout(timeout_s)
            connected.connect(address)
        except BaseException:
            connected.close()
            raise
    except TimeoutError as error:
        raise ServerHangsError(f"does not answer within {timeout_s:g} s") from error
    except BlockingIOError as error:  # of a Unix socket at which as many clients wait as it may have
        raise ServerHangsError("does not answer the programs that wait for it") from error
    except OSError as error:
        raise ServerError(f"does not answer: {error.strerror or error}") from error
    except (ValueError, AttributeError) as error:  # a faulty name; a system without Unix sockets
        raise ServerError(f"does not answer: {error}") from error
    return connected


def _user_folder() -> Path:
    """Return the user's folder of settings of the sound server."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "pulse"  # noqa: PTH111 -- no home is no error


def _read_config() -> dict[str, str]:
    """Return the settings of the first `client.conf`; none without such a file."""
    named = os.environ.get("PULSE_CLIENTCONFIG")
    files = [Path(named)] if named else [_user_folder() / "client.conf", Path("/etc/pulse/client.conf")]
    for file in files:
        with contextlib.suppress(OSError), file.open(encoding="utf-8", errors="replace") as opened:
            lines = (line.partition("=") for line in opened.read(MAX_CONFIG_BYTES).splitlines())
            return {key.strip(): value.strip() for key, _, value in lines if key[:1] not in ("#", ";")}
    return {}


def _find_cookie(files: Sequence[Path]) -> tuple[bytes, str]:
    """Return the first cookie, and its origin."""
    reasons = []
    for file in files:
        try:
            with file.expanduser().open("rb") as opened:
                cookie = opened.read(COOKIE_BYTES)
        except (OSError, RuntimeError) as error:
            reasons.append(f"{file}: {getattr(error, 'strerror', None) or error}")
            continue
        if len(cookie) == COOKIE_BYTES:
            return cookie, f"with the cookie {file}"
        reasons.append(f"{file} has {len(cookie)} bytes in place of {COOKIE_BYTES}")
    return bytes(COOKIE_BYTES), f"without a cookie ({'; '.join(reasons)})"
