"""A sound server that answers with bytes of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from soundwatch.daemon.capture.sound_server.protocol import (
    Command,
    Field,
    FrameBuffer,
    SampleSpecification,
    decode_message,
    encode_message,
)

FORM = SampleSpecification(5, 2, 8000)
DESK = (3, "desk", None, FORM, (1, 2), *range(9), {})

Answers = dict[int, Callable[[int], bytes]]  # the bytes that answer a command's number


def reply(*arguments: object) -> Callable[[int], bytes]:
    return lambda number: encode_message(Command.REPLY, number, *arguments)  # type: ignore[arg-type]


STREAM = reply(0, 9, 1 << 22, 6400, FORM, (1, 2), 3, "desk", False, 0)
FAITHFUL: Answers = {
    Command.AUTHENTICATE: reply(35),
    Command.SET_CLIENT_NAME: reply(1),
    Command.SUBSCRIBE: reply(),
    Command.GET_SOURCE: reply(*DESK),
    Command.GET_SOURCES: reply(*DESK),
    Command.CREATE_RECORD_STREAM: STREAM,
}


class FakeServer:
    """A server that answers each command with bytes of the test; without an answer it ends the connection."""

    def __init__(self, path: Path) -> None:
        self.answers = dict(FAITHFUL)
        self.requests: list[tuple[int, int, list[Field]]] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()
            if not self.answers:
                return

    def _serve(self, connection: socket.socket) -> None:
        buffer = FrameBuffer()
        with connection, contextlib.suppress(OSError):  # the client may close it at any time
            while received := connection.recv(65536):
                for _, body in buffer.add(received):
                    self.requests.append(decode_message(body))
                    command, number, _ = self.requests[-1]
                    if command not in self.answers:
                        return
                    connection.sendall(self.answers[command](number))

    def send(self, data: bytes) -> None:
        """Send bytes over the connection that was made last, which records."""
        self._connections[-1].sendall(data)

    def send_to_watch(self, data: bytes) -> None:
        """Send bytes over the connection that was made before, which watches."""
        self._connections[-2].sendall(data)

    def close(self, path: Path) -> None:
        self.answers = {}
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(path))
        for thread in self._threads:
            thread.join()
        self._listening.close()
