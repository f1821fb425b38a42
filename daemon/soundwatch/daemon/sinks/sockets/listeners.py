"""The sinks `unix` and `tcp`: their options and their listening sockets.

Conventions: a Unix socket has mode 0600; one that a killed program left behind is replaced. A TCP socket that other
machines can reach needs `allow_remote`: every client can read every line.
Does not: serve clients (`sinks/sockets/server.py`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.paths import expand_path, is_folder
from soundwatch.daemon.core.network.loopback import is_loopback, parse_ip
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.live_stream import subscribe_lines
from soundwatch.daemon.sinks.place import resolved_path
from soundwatch.daemon.sinks.sockets.server import SocketServerSink
from soundwatch.daemon.sinks.spec import PreparedSink, SinkSpec


class UnixOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `unix`.

    Attributes:
        scores: Write a `scores` line for each window too.
        level: Write a `level` line for each second too.
    """

    scores: bool = False
    level: bool = False


class TcpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `tcp`.

    Attributes:
        scores: Write a `scores` line for each window too.
        level: Write a `level` line for each second too.
        allow_remote: Allow other machines to read.
    """

    scores: bool = False
    level: bool = False
    allow_remote: bool = False


def prepare_unix(spec: SinkSpec, options: UnixOptions, view: DaemonView) -> PreparedSink:
    """Prepare the sink `unix:PATH`.

    Raises:
        ConfigError: The path is missing.
    """
    if not spec.target:
        raise ConfigError("-F unix names no socket; unix:PATH was expected.")
    path = expand_path(spec.target).absolute()

    def open_() -> SocketServerSink:
        _check_unix(path)
        subscribe = partial(subscribe_lines, view.live, scores=options.scores, level=options.level)
        return SocketServerSink(f"unix:{path}", partial(_bind_unix, path), view, subscribe, path)

    return PreparedSink(
        name=f"unix:{path}",
        place=("unix", resolved_path(str(path))),
        open=open_,
        check=lambda: _check_unix(path),
        durable=False,
    )


def prepare_tcp(spec: SinkSpec, options: TcpOptions, view: DaemonView) -> PreparedSink:
    """Prepare the sink `tcp://HOST:PORT`.

    Raises:
        ConfigError: The address is wrong, or other machines can reach it and that is not allowed.
    """
    try:
        url = urlsplit(f"tcp:{spec.target}")
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    if not host or port is None:
        raise ConfigError(f"-F {spec.text} is no address; tcp://127.0.0.1:PORT was expected.")
    if parse_ip(host) is not None and not is_loopback(host) and not options.allow_remote:  # names are looked up later
        raise ConfigError(_remote_text(spec, host))

    def open_() -> SocketServerSink:
        subscribe = partial(subscribe_lines, view.live, scores=options.scores, level=options.level)
        listen = partial(_bind_tcp, spec, host, port, options, view)
        return SocketServerSink(spec.text, listen, view, subscribe)

    return PreparedSink(
        name=spec.text,
        place=("tcp", host.rstrip(".").lower() if (ip := parse_ip(host)) is None else str(ip), port),
        open=open_,
        check=lambda: _resolve(spec, host, port, options),
        durable=False,
    )


def _bind_unix(path: Path) -> socket.socket:
    """Open a Unix socket.

    Raises:
        SinkError: The socket cannot be made.
    """
    server = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        before = os.umask(0o177)  # so that no other user can connect, not even for a moment
        try:
            server.bind(str(path))
        finally:
            os.umask(before)
        server.listen()
    except OSError as error:
        server.close()
        raise SinkError(f"{path} cannot be made a socket: {error.strerror or error}.") from error
    except SinkError:
        server.close()
        raise
    return server


def _check_unix(path: Path) -> None:
    """Check that a socket can be made at a path.

    Raises:
        SinkError: The system has no Unix sockets, or the path is taken or missing.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise SinkError("This system has no Unix sockets; use tcp://127.0.0.1:PORT.")
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SinkError(f"{path} is there already and is no socket. Give another path, or move the file.")
        return
    if not is_folder(path.parent):
        raise SinkError(f"{path} cannot be made a socket: No such file or directory.")


def _remove_stale(path: Path) -> None:
    """Remove a socket that no program listens on.

    Raises:
        OSError: The socket cannot be examined.
        SinkError: Another program listens on the socket.
    """
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX) as other:
        other.setblocking(False)  # a listener with a full backlog does not delay the server
        try:
            other.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise SinkError(f"{path} is another program's socket. Give another path, or stop that program.")


def _resolve(
    spec: SinkSpec, host: str, port: int, options: TcpOptions
) -> tuple[socket.AddressFamily, socket.SocketKind, int, tuple[object, ...], bool]:
    """Look up an address.

    Returns:
        Family, kind, protocol, address, and whether only this machine reaches the address.

    Raises:
        SinkError: The name has no address, or other machines can reach it and that is not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise SinkError(f"-F {spec.text} cannot be listened on: {error.strerror or error}.") from error
    local = is_loopback(str(address[0]))
    if not local and not options.allow_remote:
        raise SinkError(_remote_text(spec, host))
    return family, kind, protocol, address, local


def _bind_tcp(spec: SinkSpec, host: str, port: int, options: TcpOptions, view: DaemonView) -> socket.socket:
    """Open a TCP socket.

    Raises:
        SinkError: The address cannot be listened on.
    """
    family, kind, protocol, address, local = _resolve(spec, host, port, options)
    server = socket.socket(family, kind, protocol)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen()
    except OSError as error:
        server.close()
        raise SinkError(f"-F {spec.text} cannot be listened on: {error.strerror}.") from error
    if not local:
        view.log.warning("sink_reachable_from_network", sink=spec.text)
    return server


def _remote_text(spec: SinkSpec, host: str) -> str:
    return (
        f"-F {spec.text}: {host} can be reached by other machines, and every client there reads all events. "
        "Use 127.0.0.1, or add allow_remote=1 if that is wanted."
    )
