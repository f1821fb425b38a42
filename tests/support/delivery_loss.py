"""Delivery of events by the real program to a real broker and a file during failures of broker, program and disk.

`soundwatch run` reads raw samples on standard input, a low and a high tone in turn, with a small model of two classes:
an event at each change. Its journal is on its own disk, which can be filled (a tmpfs). The broker is reached through a
gate, so that after a restart the listener connects before the program publishes.

Conventions: the numbers of lines decide. The journal numbers every line without gaps, over all restarts. Each number
has to be in the file, and each number of an event's line has to reach the listener at the broker. A repeated line has
to be marked."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH
from support.fakes import tone
from support.gate import Gate
from support.mosquitto import Listener, Mosquitto, wait_until
from support.ports import free_port

RATE_HZ = 8000
TONE_S = 0.6
MOST_BEHIND = 4000  # lines that the program may be ahead of the broker; a full journal keeps more
EVENTS = ("start", "update", "end")
EVENT_TOPIC = "soundwatch/edge1/stdin/event"
CONFIG = """
node: edge1
sources: {{stdin: {{device: "-", pcm: "f32le,{rate},1"}}}}
detection: {{min_duration_s: 0.1, cooldown_s: 0}}
journal: {{path: {journal}}}
sinks: ["json:{file}", "mqtt://127.0.0.1:{port},discovery=0,level_s=0"]
log: {{level: warning}}
"""


class Disk:
    """A folder whose disk can be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Take all of its room."""
        with self._filler.open("ab", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(4096))

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Disk]:
    """A disk of this size.

    Raises:
        PermissionError: This user may not make one.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "soundwatch-test", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise PermissionError("this user may not mount a small disk")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@dataclass(frozen=True, slots=True)
class Account:
    """Result of a trial.

    Attributes:
        events: How many sounds started.
        lines: How many lines were numbered.
        file_lost: Numbers that are not in the file.
        broker_lost: Numbers of events' lines that did not come from the broker.
        repeated: Repeated lines with a mark, at both.
        unmarked: Repeated lines without a mark, at both.
        broken: Lines in the file that are none.
        renumbered: Numbers that two different lines had.
        journal_dropped: Old lines that the journal has dropped, for want of room or by its limits.
    """

    events: int
    lines: int
    file_lost: int
    broker_lost: int
    repeated: int
    unmarked: int
    broken: int
    renumbered: int
    journal_dropped: int


class Trial:
    """The program, its broker and its disk.

    Args:
        folder: Where the file and the configuration are.
        disk: Where the journal is.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.disk = disk
        self.broker = Mosquitto(folder, free_port())
        self.gate = Gate(self.broker.port)
        self.listener = Listener(self.broker.port)
        self.file = folder / "events.jsonl"
        self._journal = disk.folder / "journal.db"
        self._model = write_band_model(folder / "bands.onnx")
        self._config = folder / "config.yaml"
        fields = {"rate": RATE_HZ, "journal": self._journal, "file": self.file, "port": self.gate.port}
        self._config.write_text(CONFIG.format(**fields))
        self._lines = 0
        self._read_bytes = 0
        self._daemon: subprocess.Popen[bytes] | None = None
        self.log = (folder / "log.txt").open("ab")
        self.gate.open()

    def start_daemon(self) -> None:
        """Start the program, and play to it."""
        command = [SOUNDWATCH, "run", "--config", str(self._config), "--model", str(self._model)]
        self._daemon = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log)
        threading.Thread(target=self._play, args=(self._daemon,), daemon=True).start()

    def kill_daemon(self) -> None:
        """End it as a crash or the system's memory killer does."""
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait(timeout=60)

    def kill_broker(self) -> None:
        """End the broker as a crash does."""
        self.gate.shut()
        self.listener.ready.clear()
        self.broker.kill()

    def start_broker(self) -> None:
        """Start the broker again; the listener connects before the daemon publishes."""
        self.broker.start()
        assert self.listener.ready.wait(60)
        self.gate.open()

    def wait_for_lines(self, count: int) -> None:
        """Wait until so many are in the file."""
        wait_until(lambda: self.lines() >= count, f"{count} lines")

    def lines(self) -> int:
        """Return the number of lines in the file."""
        with suppress(FileNotFoundError), self.file.open("rb") as file:
            file.seek(self._read_bytes)
            chunk = file.read()
            self._read_bytes += len(chunk)
            self._lines += chunk.count(b"\n")
        return self._lines

    def finish(self) -> Account:
        """End the program's input, and start it again until each sink has all lines."""
        assert self._daemon is not None
        daemon, self._daemon = self._daemon, None
        self._wait(daemon)
        while not self._all_delivered():
            command = [SOUNDWATCH, "run", "--config", str(self._config), "--model", str(self._model)]
            self._wait(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log))
        wait_until(lambda: self._last_event_seq() in {line["seq"] for line in self._received()}, "the last event")
        return self._account()

    def close(self) -> None:
        """End everything."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait(timeout=60)
        self.listener.close()
        self.gate.shut()
        self.broker.kill()
        self.log.close()

    def _wait(self, daemon: subprocess.Popen[bytes]) -> None:
        assert daemon.wait(timeout=120) == 0, Path(self.log.name).read_text()

    def _play(self, daemon: subprocess.Popen[bytes]) -> None:
        """Play tones until the program has ended, or is to."""
        assert daemon.stdin is not None
        tones = [tone(frequency_hz, TONE_S, RATE_HZ).astype("<f4").tobytes() for frequency_hz in (300, 3000)]
        with suppress(OSError), daemon.stdin as samples:
            turn = 0
            while self._daemon is daemon and daemon.poll() is None:
                if self.lines() - self.listener.count(EVENT_TOPIC) > MOST_BEHIND:
                    time.sleep(0.01)
                    continue
                samples.write(tones[turn % 2])
                turn += 1

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._journal)) as journal:
            return journal.execute(query).fetchall()

    def _last_seq(self) -> int:
        return int(self._ask("SELECT seq FROM sqlite_sequence WHERE name = 'lines'")[0][0])

    def _last_event_seq(self) -> int:
        return int(self._ask("SELECT MAX(seq) FROM lines WHERE type IN ('start', 'update', 'end')")[0][0])

    def _all_delivered(self) -> bool:
        delivered = [seq for (seq,) in self._ask("SELECT delivered FROM cursors")]
        return len(delivered) == 2 and min(delivered) == self._last_seq()

    def _received(self) -> list[dict[str, Any]]:
        return self.listener.events(EVENT_TOPIC)

    def _account(self) -> Account:
        written, broken = [], 0
        for text in self.file.read_text().splitlines():
            try:
                written.append(json.loads(text))
            except ValueError:
                broken += 1
        received = self._received()
        ids: dict[int, set[str]] = {}
        for line in (*written, *received):
            ids.setdefault(line["seq"], set()).add(f"{line['type']} {line.get('id')}")
        in_file, from_broker = {line["seq"] for line in written}, {line["seq"] for line in received}
        last_seq = self._last_seq()
        events = {line["seq"] for line in written if line["type"] in EVENTS}
        return Account(
            events=len({line["id"] for line in written if line["type"] == "start"}),
            lines=last_seq,
            file_lost=len(set(range(1, last_seq + 1)) - in_file),
            broker_lost=len(events - from_broker),
            repeated=sum(bool(line.get("repeated")) for line in (*written, *received)),
            unmarked=_unmarked(written) + _unmarked(received),
            broken=broken,
            renumbered=sum(len(id_) > 1 for id_ in ids.values()),
            journal_dropped=last_seq - self._ask("SELECT COUNT(*) FROM lines")[0][0],
        )


def _unmarked(lines: list[dict[str, Any]]) -> int:
    """Count repeated lines without a mark."""
    firsts = Counter(line["seq"] for line in lines if not line.get("repeated"))
    return sum(count - 1 for count in firsts.values() if count > 1)


def as_dict(account: Account) -> dict[str, int]:
    """For a results file."""
    return asdict(account)
