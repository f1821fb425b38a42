"""Cost of the page: processor time and memory without it, with it, and with one viewer.

Run `python benchmarks/web.py` on an idle machine; it takes `--rounds` of `--minutes`, all three at once so that they
see the same machine, and writes results/web.json. The viewer gets lines, scores and the spectrogram over a WebSocket
and asks for health, sources and sinks every 15 s, as the page in a browser does; it is this process, so its own cost
is not counted.

Conventions: processor time is user and system time of the daemon and its children, from /proc; a share is of one core.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from harness import Results, Table, cpu_s, machine_of, option_parser, provenance, resident_mb, table, write_results
from websockets.sync.client import connect

from soundwatch.daemon.inference.classifier import load_classifier_file

SOUNDWATCH: Final = str(Path(sys.executable).with_name("soundwatch"))
KINDS: Final = ("without", "unwatched", "watched")
TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
STARTING_S: Final = 60.0
SETTLING_S: Final = 10.0
REFRESH_S: Final = 15.0


@contextmanager
def daemon(folder: Path, port: int | None) -> Iterator[int]:
    """Run a daemon with the demo scene, and return its process id."""
    folder.mkdir()
    page = ["-F", f"http://127.0.0.1:{port}"] if port else []
    command = [SOUNDWATCH, "run", "--device", "demo", "-F", f"json:{folder}/events.jsonl", *page]
    environment = os.environ | {"STATE_DIRECTORY": str(folder)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def wait_for_first_lines(files: list[Path]) -> None:
    """Wait until all daemons listen."""
    until_s = time.monotonic() + STARTING_S
    while not all(file.exists() and file.stat().st_size for file in files):
        if time.monotonic() > until_s:
            sys.exit("a daemon has not begun to listen")
        time.sleep(0.2)


def look(port: int, until_s: float) -> int:
    """Watch as the page does; how many bytes that were."""
    received_bytes, asked_s = 0, 0.0
    with connect(f"ws://127.0.0.1:{port}/api/ws?scores=1&columns=1&recent=1", max_size=None) as stream:
        while time.monotonic() < until_s:
            if time.monotonic() >= asked_s + REFRESH_S:
                asked_s = time.monotonic()
                for path in ("health", "sources", "sinks"):
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}") as answer:  # loopback
                        received_bytes += len(answer.read())
            try:
                received_bytes += len(stream.recv(timeout=1))
            except TimeoutError:
                continue
    return received_bytes


def measure(seconds: float, folder: Path) -> dict[str, Any]:
    """Run one round: all three at once, so that other load of the machine is shared by all of them."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"without": None, "unwatched": one.getsockname()[1], "watched": other.getsockname()[1]}
    with ExitStack() as stack:
        pids = {kind: stack.enter_context(daemon(folder / kind, ports[kind])) for kind in KINDS}
        wait_for_first_lines([folder / kind / "events.jsonl" for kind in KINDS])
        time.sleep(SETTLING_S)
        before = {kind: cpu_s(pid) for kind, pid in pids.items()}
        began_s = time.monotonic()
        assert ports["watched"] is not None
        received_bytes = look(ports["watched"], began_s + seconds)
        took_s = time.monotonic() - began_s
        shares = {kind: (cpu_s(pid) - before[kind]) / took_s for kind, pid in pids.items()}
        return {
            "seconds": round(took_s, 1),
            "share_of_a_core": {kind: round(share, 5) for kind, share in shares.items()},
            "resident_mb": {kind: round(resident_mb(pid), 1) for kind, pid in pids.items()},
            "viewer_bytes_a_second": round(received_bytes / took_s),
        }


def main() -> None:
    """Measure, and write the results."""
    parser = option_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rounds = []
        for number in range(options.rounds):
            (Path(folder) / str(number)).mkdir()
            rounds.append(measure(60 * options.minutes, Path(folder) / str(number)))

    def median(part: str, kind: str) -> float:
        return float(statistics.median(item[part][kind] for item in rounds))

    added = {
        kind: [round(item["share_of_a_core"][kind] - item["share_of_a_core"]["without"], 5) for item in rounds]
        for kind in ("unwatched", "watched")
    }
    results = {
        **provenance(f"python benchmarks/web.py --minutes {options.minutes:g} --rounds {options.rounds}"),
        "model": load_classifier_file("urban", "cpu").contract.identity,
        "rounds": rounds,
        "share_of_a_core": {kind: median("share_of_a_core", kind) for kind in KINDS},
        "added_share_of_a_core": {kind: statistics.median(value) for kind, value in added.items()},
        "worst_added_share_of_a_core": {kind: max(value) for kind, value in added.items()},
        "resident_mb": {kind: median("resident_mb", kind) for kind in KINDS},
        "viewer_bytes_a_second": statistics.median(item["viewer_bytes_a_second"] for item in rounds),
    }
    write_results("web", results, TABLES["web"])


def web_table(results: Results) -> Table:
    """Return the cost of the page without and with a viewer."""
    names = {"without": "without a page", "unwatched": "with a page, no viewer", "watched": "with a page, one viewer"}
    rows = []
    for kind, name in names.items():
        shares = [round_["share_of_a_core"][kind] for round_ in results["rounds"]]
        added = "" if kind == "without" else f"{100 * results['added_share_of_a_core'][kind]:+.2f} %"
        worst = "" if kind == "without" else f"{100 * results['worst_added_share_of_a_core'][kind]:+.2f} %"
        memory = f"{results['resident_mb'][kind]:.0f}"
        rows.append((name, f"{100 * statistics.median(shares):.2f} %", added, worst, memory))
    headings = ("daemon on the demo scene", "of a core", "added, median", "added, worst", "resident, MB")
    note = f"A viewer is sent {results['viewer_bytes_a_second'] / 1000:.1f} kB a second."
    return table(headings, rows, f"{note}\n\n{machine_of(results)}")


TABLES: Final = {
    "web": {
        "web": web_table,
    },
}


if __name__ == "__main__":
    main()
