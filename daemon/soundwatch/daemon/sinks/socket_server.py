"""Lines to everybody who connects to a Unix or TCP socket.

Conventions: one thread serves all readers (`sinks/socket_client.py`), from the journal. A Unix socket is its owner's
alone (0600), and one that an ended program has left is replaced. TCP is on this machine's own address unless told
otherwise: whoever can reach it can read every line.
Does not: keep lines for readers that are away; they ask for them with `since`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.loopback import is_loopback
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.context import OpenedSink, SinkContext, SinkSpec, parse_options
from soundwatch.daemon.sinks.score_stream import ScoreStreamSink
from soundwatch.daemon.sinks.socket_client import MOST_READERS, SocketClient

LOOK_S: Final = 1.0
CLOSING_S: Final = 2.0
FULL_S: Final = 0.1
# Needs no file of its own, so it goes on where no more may be opened.
POLLING: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)


class UnixOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `unix` can be told.

    Attributes:
        scores: Whether to write a `scores` line for each window too.
    """

    scores: bool = False


class TcpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `tcp` can be told.

    Attributes:
        scores: Whether to write a `scores` line for each window too.
        allow_remote: Whether other machines may read.
    """

    scores: bool = False
    allow_remote: bool = False


class SocketServerSink:
    """A socket and its readers.

    Args:
        name: As the log names it.
        server: The socket, which listens.
        sink_context: Where the journal is.
    """

    def __init__(self, name: str, server: socket.socket, sink_context: SinkContext) -> None:
        self.name = name
        self._server = server
        self._around = sink_context
        self._readers: list[SocketClient] = []
        self._lock = threading.Lock()  # guards it, and the next
        self._last_seq = sink_context.last_seq()
        self._closing = threading.Event()
        self._bell, self._hearing = socket.socketpair()
        for each in (server, self._bell, self._hearing):
            each.setblocking(False)
        self._thread = threading.Thread(target=self._serve, name=f"readers of {name}", daemon=True)
        self._thread.start()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Let the readers have new lines."""
        with self._lock:
            self._last_seq = entries[-1].seq
            for reader in self._readers:
                reader.come(entries[0].seq)
        self._ring()

    def write(self, line: bytes) -> None:
        """Let the readers have a line that is in no journal."""
        with self._lock:
            for reader in self._readers:
                reader.scores.append(line)
        self._ring()

    def is_read(self) -> bool:
        """Whether anybody is connected."""
        return bool(self._readers)

    def close(self) -> None:
        """Give the readers what there is, and the end."""
        self._closing.set()
        self._ring()
        self._thread.join(CLOSING_S)

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it will be heard; closed: nobody is there
            self._bell.send(b"!")

    def _serve(self) -> None:
        """The readers' thread."""
        give_up_s = float("inf")
        try:
            while not self._closing.is_set() or (self._readers and time.monotonic() < give_up_s):
                self._look()
                if self._closing.is_set() and give_up_s == float("inf"):
                    give_up_s = time.monotonic() + CLOSING_S / 2
                    for reader in self._readers:
                        self._move(reader, writable=True)
                        reader.part("stopped")
        finally:
            for socket_ in (self._server, self._bell, self._hearing):
                socket_.close()
            for reader in self._readers:
                reader.close()

    def _look(self) -> None:
        """Wait for something to do, and do it."""
        with POLLING() as selector:
            selector.register(self._hearing, selectors.EVENT_READ)
            if not self._closing.is_set():
                selector.register(self._server, selectors.EVENT_READ)
            for reader in self._readers:
                events = selectors.EVENT_READ if reader.listens else 0
                events |= selectors.EVENT_WRITE if reader.wants_to_write(self._last_seq) else 0
                if events:
                    selector.register(reader.connection, events, reader)
            found = selector.select(LOOK_S)
        for key, events in found:
            if key.fileobj is self._server:
                self._accept()
            elif key.fileobj is self._hearing:
                with contextlib.suppress(OSError):
                    self._hearing.recv(4096)
            else:
                self._move(key.data, readable=bool(events & selectors.EVENT_READ), writable=True)
        for reader in list(self._readers):
            self._see_to(reader)

    def _accept(self) -> None:
        try:
            connection, _ = self._server.accept()
        except OSError:  # no more files may be opened: whoever waits goes on waiting, and we do not spin
            self._closing.wait(FULL_S)
            return
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            reader = SocketClient(connection, self._around.after, self._around.node, time.monotonic())
            if len(self._readers) >= MOST_READERS:
                reader.part("crowded")
            with self._lock:
                self._readers.append(reader)

    def _move(self, reader: SocketClient, *, readable: bool = False, writable: bool = False) -> None:
        """Hear and serve one reader."""
        try:
            if readable:
                reader.hear(self._last_seq)
            if writable:
                reader.give(self._last_seq, time.monotonic())
        except OSError:
            self._forget(reader)

    def _see_to(self, reader: SocketClient) -> None:
        """Drop a reader that is slow, and let one go that has had all."""
        now_s = time.monotonic()
        if reader.drop_if_slow(self._last_seq, now_s):
            self._around.log.warning("a reader took nothing and was dropped", sink=self.name)
        if reader.is_over(self._last_seq, now_s):
            self._forget(reader)

    def _forget(self, reader: SocketClient) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._readers.remove(reader)
        reader.close()


class UnixSocketSink(SocketServerSink):
    """The same, with a name in the file system, which goes when it is closed."""

    def __init__(self, path: Path, server: socket.socket, sink_context: SinkContext) -> None:
        self._path = path
        self._file = path.stat()
        super().__init__(f"unix:{path}", server, sink_context)

    def close(self) -> None:
        """Give the readers what there is, and the end."""
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._file.st_ino:
                self._path.unlink()
        super().close()


def open_unix(spec: SinkSpec, sink_context: SinkContext) -> OpenedSink:
    """The sink `unix:PATH`.

    Raises:
        ConfigError: An option is wrong.
        SinkError: The socket cannot be made.
    """
    options = parse_options(spec, UnixOptions)
    if not hasattr(socket, "AF_UNIX"):
        raise SinkError("This system has no Unix sockets; use tcp://127.0.0.1:PORT.")
    if not spec.target:
        raise ConfigError("-F unix names no socket; unix:PATH was wanted.")
    path = Path(spec.target).expanduser().absolute()
    _clear(path)
    server = socket.socket(socket.AF_UNIX)
    try:
        before = os.umask(0o177)  # so that it is never anybody else's, not even for a moment
        try:
            server.bind(str(path))
        finally:
            os.umask(before)
        server.listen()
    except OSError as error:
        server.close()
        raise SinkError(f"{path} cannot be made a socket: {error.strerror or error}.") from error
    return _opened(UnixSocketSink(path, server, sink_context), options.scores, sink_context)


def open_tcp(spec: SinkSpec, sink_context: SinkContext) -> OpenedSink:
    """The sink `tcp://HOST:PORT`.

    Raises:
        ConfigError: The address or an option is wrong.
        SinkError: It cannot be listened on.
    """
    options = parse_options(spec, TcpOptions)
    try:
        url = urlsplit(f"tcp:{spec.target}")
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    if not host or port is None:
        raise ConfigError(f"-F {spec.text} is no address; tcp://127.0.0.1:PORT was wanted.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        local = is_loopback(str(address[0]))
        if not local and not options.allow_remote:
            raise ConfigError(
                f"-F {spec.text}: {host} can be reached by other machines, and whoever reaches it reads every event. "
                "Use 127.0.0.1, or add allow_remote=1 if that is wanted."
            )
        server = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SinkError(f"-F {spec.text} cannot be listened on: {error.strerror or error}.") from error
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen()
    except OSError as error:
        server.close()
        raise SinkError(f"-F {spec.text} cannot be listened on: {error.strerror}.") from error
    if not local:
        sink_context.log.warning("whoever reaches this address can read every event", sink=spec.text)
    return _opened(SocketServerSink(spec.text, server, sink_context), options.scores, sink_context)


def _opened(sink: SocketServerSink, scores: bool, sink_context: SinkContext) -> OpenedSink:
    shown = ScoreStreamSink(sink, sink_context.live, sink_context.node, sink.is_read) if scores else sink
    return OpenedSink(shown, durable=False)


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on any more.

    Raises:
        OSError: Somebody does.
        SinkError: It is something else.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SinkError(f"{path} is there already and is no socket. Give another path, or move it away.")
        with socket.socket(socket.AF_UNIX) as other:
            try:
                other.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise SinkError(f"{path} is another program's socket. Give another path, or stop that program.")
