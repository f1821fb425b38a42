"""Lines to every client of a listening socket.

Conventions: one thread serves all clients (`sinks/sockets/client.py`), from the journal. That thread also makes a Unix
socket again whose path was removed, within `PATH_LOOK_S`, so that clients can connect before the next line.
Does not: open sockets (`sinks/sockets/listeners.py`), or keep lines for absent clients; they ask for them with `since`.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.events.level_schema import LevelLine
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.live_stream import live_line
from soundwatch.daemon.sinks.sockets.client import MAX_CLIENTS, PENDING_SCORES, SocketClient

LOOK_S: Final = 1.0  # between two looks for late readers
PATH_LOOK_S: Final = 10.0  # between two looks at the path without clients: each takes 0.1 ms of the processor
CLOSING_S: Final = 2.0
FULL_S: Final = 0.1
# Needs no descriptor of its own, so the server works where no more may be opened.
POLLING: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)


class SocketServerSink:
    """A listening socket and its clients.

    Args:
        name: Name in the log.
        listen: Opens the listening socket.
        view: View of the daemon.
        subscribe: Subscribes to the scores and levels that clients get too; returns a function that ends this.
        path: Path of a Unix socket, which is made again if it was removed, and is removed at the end.

    Raises:
        SinkError: The socket cannot be opened.
    """

    def __init__(
        self,
        name: str,
        listen: Callable[[], socket.socket],
        view: DaemonView,
        subscribe: Callable[[Callable[[WindowResult | LevelLine], None]], Callable[[], None]],
        path: Path | None = None,
    ) -> None:
        self._name = name
        self._listen = listen
        self._server = server = listen()
        self._former: list[socket.socket] = []  # listening sockets whose path was removed
        self._view = view
        self._path = path
        self._inode = self._found_inode()
        self._clients: list[SocketClient] = []
        self._lock = threading.Lock()  # guards the clients and the number
        self._last_seq = view.journal.last_seq
        self._closing = threading.Event()
        self._restoring = threading.Lock()  # guards the listening socket
        self._error = ""  # the last one that was logged
        self._results = deque[WindowResult | LevelLine](maxlen=PENDING_SCORES)
        self._wake_sender, self._wake_receiver = socket.socketpair()
        for socket_ in (server, self._wake_sender, self._wake_receiver):
            socket_.setblocking(False)
        self._unsubscribe = subscribe(self._add)
        self._thread = threading.Thread(target=self._serve, name=f"clients of {name}", daemon=True)
        self._thread.start()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Announce new lines to the clients; a socket whose path was removed is opened again.

        Raises:
            SinkError: The socket cannot be opened again; connected clients get the lines nevertheless.
        """
        with self._lock:
            self._last_seq = entries[-1].seq
            for client in self._clients:
                client.notify(entries[0].seq)
        self._wake()
        self._restore()

    def close(self) -> None:
        """Send the clients the remaining lines and the end."""
        self._unsubscribe()
        self._closing.set()
        with self._restoring:
            if self._path is not None:
                with contextlib.suppress(OSError):
                    if self._found_inode() == self._inode:
                        self._path.unlink()
            self._path = None
        self._wake()
        self._thread.join(CLOSING_S)

    def _found_inode(self) -> int | None:
        """Return the inode at the path; None for none."""
        try:
            return None if self._path is None else self._path.stat().st_ino
        except FileNotFoundError:
            return None

    def _restore(self) -> None:
        with self._restoring:
            if self._path is None or self._found_inode() == self._inode:
                return
            server = self._listen()
            server.setblocking(False)
            former, self._server = self._server, server  # the clients' thread registers it, and closes former ones
            self._former.append(former)
            self._inode = self._found_inode()
        self._view.log.warning("socket_restored", sink=self._name)
        self._wake()

    def _add(self, result: WindowResult | LevelLine) -> None:
        if self._clients:
            self._results.append(result)
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: the thread wakes anyway; closed: the thread has ended
            self._wake_sender.send(b"!")

    def _serve(self) -> None:
        """Serve the clients until the end."""
        give_up_s = float("inf")
        try:
            while not self._closing.is_set() or (self._clients and time.monotonic() < give_up_s):
                self._poll_guarded()
                if self._closing.is_set() and give_up_s == float("inf"):
                    give_up_s = time.monotonic() + CLOSING_S / 2
                    for client in self._clients:
                        self._exchange(client, writable=True)
                        client.disconnect("stopped")
        finally:
            for socket_ in (*self._former, self._server, self._wake_sender, self._wake_receiver):
                socket_.close()
            for client in self._clients:
                client.close()

    def _poll_guarded(self) -> None:
        """Poll; an error of the journal is logged, and the clients are served again later."""
        try:
            self._poll()
            self._error = ""
        except Exception as error:  # noqa: BLE001  # a sink may fail in any way; its thread may not end
            if self._error != str(error):
                self._error = str(error)
                self._view.log.error("socket_server_failed", sink=self._name, reason=f"{type(error).__name__}: {error}")
            self._closing.wait(FULL_S)

    def _poll(self) -> None:
        """Wait for an event and handle it."""
        if not self._closing.is_set():
            with contextlib.suppress(SinkError, OSError):  # the next line reports it
                self._restore()
        while self._former:
            self._former.pop().close()
        with POLLING() as selector:
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            if not self._closing.is_set():
                selector.register(self._server, selectors.EVENT_READ)
            for client in self._clients:
                events = selectors.EVENT_READ if client.readable else 0
                events |= selectors.EVENT_WRITE if client.wants_to_write(self._last_seq) else 0
                if events:
                    selector.register(client.connection, events, client)
            found = selector.select(self._look_s())
        for key, events in found:
            if key.fileobj is self._wake_receiver:
                with contextlib.suppress(OSError):
                    self._wake_receiver.recv(4096)
            elif key.data is None:  # a listening socket
                self._accept()
            else:
                self._exchange(key.data, readable=bool(events & selectors.EVENT_READ), writable=True)
        self._hand_out_live_lines()
        for client in list(self._clients):
            self._release_if_finished(client)

    def _look_s(self) -> float | None:
        """Return the longest wait for an event; None without clients, which can be late, and without a path."""
        if self._clients:
            return LOOK_S
        return PATH_LOOK_S if self._path is not None else None

    def _hand_out_live_lines(self) -> None:
        while self._results:
            line = msgspec.json.encode(live_line(self._results.popleft(), self._view.node)) + b"\n"
            for client in self._clients:
                client.scores.append(line)

    def _accept(self) -> None:
        try:
            connection, _ = self._server.accept()
        except OSError:  # no more descriptors: the client waits, and this thread does not spin
            self._closing.wait(FULL_S)
            return
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            client = SocketClient(connection, self._view.journal.read_after, self._view.node, time.monotonic())
            if len(self._clients) >= MAX_CLIENTS:
                client.disconnect("too_many_clients")
            with self._lock:
                self._clients.append(client)

    def _exchange(self, client: SocketClient, *, readable: bool = False, writable: bool = False) -> None:
        """Receive from a client and send to it."""
        try:
            if readable:
                client.receive(self._last_seq)
            if writable:
                client.send_pending(self._last_seq, time.monotonic())
        except OSError:
            self._forget(client)

    def _release_if_finished(self, client: SocketClient) -> None:
        """Disconnect a slow client, and close one that has had all its lines."""
        now_s = time.monotonic()
        if client.disconnect_if_slow(self._last_seq, now_s):
            self._view.log.warning("socket_client_disconnected", sink=self._name, reason="slow")
        if client.is_finished(self._last_seq, now_s):
            self._forget(client)

    def _forget(self, client: SocketClient) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._clients.remove(client)
        client.close()
