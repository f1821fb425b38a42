"""Following a journal: by the socket of a daemon, and by the file where there is none."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.journal.entry import StoredLine
from soundwatch.daemon.journal.location import socket_path
from soundwatch.daemon.journal.queries.follow import follow_lines
from soundwatch.daemon.journal.queries.query import LineFilter
from soundwatch.daemon.journal.store import JournalStore

TIME = "2026-11-26T00:00:00.000Z"


def encoded(seq: int) -> bytes:
    return json.dumps({"seq": seq, "type": "gap", "time": TIME, "source": "mic0"}).encode() + b"\n"


def row(seq: int) -> StoredLine:
    return StoredLine(seq, TIME, "gap", "mic0", None, None, encoded(seq))


@contextmanager
def server(journal: Path, lines: list[bytes], asked: list[bytes]) -> Iterator[None]:
    """One connection of a daemon that sends these lines and ends."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(journal)))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.makefile("rb").readline())
                connection.sendall(b"".join(lines))

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(30)
    socket_path(journal).unlink()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JournalStore]:
    store = JournalStore(tmp_path / "journal.db")
    store.commit([row(1), row(2)])
    yield store
    store.close()


def test_lines_come_from_the_socket_of_a_daemon_and_from_the_file_after_its_end(store: JournalStore) -> None:
    asked = list[bytes]()
    unnumbered = [json.dumps({"type": kind, "time": TIME}).encode() + b"\n" for kind in ("scores", "bye")]
    sent = [encoded(2), encoded(3), *unnumbered]

    def wait(_: float) -> None:
        if store.last_seq() == 2:
            store.commit([row(3), row(4)])

    with server(Path(store.path), sent, asked):
        found = follow_lines(store, LineFilter(after_seq=1), wait=wait)
        seqs = [json.loads(next(found))["seq"] for _ in range(2)]
    seqs.append(json.loads(next(found))["seq"])
    assert seqs == [2, 3, 4]
    assert asked == [b'{"since":1}\n']


def test_without_a_daemon_lines_come_from_the_file(store: JournalStore) -> None:
    found = follow_lines(store, LineFilter(), wait=lambda _: None)
    assert [json.loads(next(found))["seq"] for _ in range(2)] == [1, 2]


def test_a_socket_of_a_killed_daemon_is_ignored(store: JournalStore) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(Path(store.path))))
    found = follow_lines(store, LineFilter(), wait=lambda _: None)
    assert json.loads(next(found))["seq"] == 1


def test_scores_need_a_daemon(store: JournalStore) -> None:
    with pytest.raises(StoreError, match="only from a running soundwatch"):
        next(follow_lines(store, LineFilter(), ["scores"]))
