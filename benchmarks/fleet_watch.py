"""The process `soundwatch fleet watch` and the times of its lines, for benchmarks/fleet.py."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import IO


class Watch:
    """`soundwatch fleet watch`, and when each line came out of it."""

    def __init__(self, port: int, store: str) -> None:
        self.lines: dict[tuple[str, int], float] = {}
        self.latencies_s: list[float] = []
        self.twice = 0
        self._command = [
            *(str(Path(sys.executable).with_name("soundwatch")), "fleet", "watch", "--plain"),
            *("--broker", f"mqtt://127.0.0.1:{port}", "--store", store),
        ]
        self.start()

    def start(self) -> None:
        """Start it, also again after it was killed."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=raise_open_file_limit
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.connected = threading.Event()
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True).start()

    def end(self, number: signal.Signals) -> None:
        """End it."""
        self._process.send_signal(number)
        self._process.wait(60)

    @property
    def resident_mb(self) -> float:
        """Return the memory of the process now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    @property
    def cpu_s(self) -> float:
        """Return the processor time of the process so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def _read(self, stream: IO[bytes]) -> None:
        for text in stream:
            if not text.endswith(b"\n"):
                return  # it was killed in the middle of a line
            line = json.loads(text)
            key = (line["node"], line["seq"])
            self.twice += key in self.lines
            self.lines[key] = time.time()
            made_s = datetime.fromisoformat(line["time"]).timestamp()
            self.latencies_s.append(time.time() - made_s)

    def _listen(self, stream: IO[bytes]) -> None:
        for text in stream:
            if b"the broker is there" in text:
                self.connected.set()


def raise_open_file_limit() -> None:
    """Raise this process's limit of open files to its highest."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
