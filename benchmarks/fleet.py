"""A fleet of a thousand simulated nodes at one broker: lines a second, delay and losses.

Run `python benchmarks/fleet.py` on an idle machine (some ten minutes; needs mosquitto, and PostgreSQL for its part); it
writes results/fleet.json. Broker, store, `soundwatch fleet watch` and all machines share this one machine; the
machines are tests/support/simulated_fleet.py.

Conventions: `steady`: every machine writes a line each ten seconds, an event's start or end. Its latency is from the
line's time to when `fleet watch` has printed it, after it was kept. `harmed`: the same while the fleet, the broker and,
where it is one, PostgreSQL are killed and started again. `flood`: every machine writes fifty lines at once. `recovery`:
the fleet is away while as much is written, and asks for it; from its start until all is kept.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from fleet_watch import Watch, raise_open_file_limit
from harness import Results, Table, free_port, machine_of, option_parser, provenance, table, write_results

from soundwatch.daemon.fleet.store import FleetStore
from soundwatch.daemon.journal.queries.query import LineFilter

ROOT: Final = Path(__file__).resolve().parents[1]
LINE_S: Final = 10.0
FLOOD_LINES: Final = 50
AWAY_S: Final = 5.0
PATIENCE_S: Final = 900.0

Harm = tuple[Callable[[], object], Callable[[], object]]  # what ends something, and what starts it again

sys.path.insert(0, str(ROOT / "tests"))
from support.mosquitto import Mosquitto  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.simulated_fleet import Phase, run_machines  # noqa: E402 -- the tests' own


def measured(count: int, minutes: float, store: str, restart: Harm | None, folder: Path) -> dict[str, Any]:
    """Run all phases with one store."""
    broker = Mosquitto(folder, free_port(), keeping="")  # with the limits that it has by default
    steady_s = 60 * minutes
    lines = max(1, round(steady_s / LINE_S))
    phases = [Phase(steady_s, lines), Phase(steady_s, lines), Phase(0, FLOOD_LINES), Phase(0, FLOOD_LINES)]
    ours, theirs = multiprocessing.Pipe()
    watch = Watch(broker.port, store)
    watch.connected.wait(PATIENCE_S)
    machines = multiprocessing.Process(target=run_machines, args=(broker.port, count, phases, theirs))
    machines.start()
    with ExitStack() as stack:
        stack.callback(broker.kill)
        stack.callback(machines.kill)
        _answer(ours)
        result: dict[str, Any] = {"steady": _steady(watch, ours)}
        result["harmed"] = _harmed(watch, ours, store, broker, restart, steady_s)
        result["flood"] = _flood(watch, ours, store, count * 2 * lines)
        result["recovery"] = _recovery(watch, ours, store, count * (2 * lines + FLOOD_LINES))
        ours.send("end")
        result["repeats_sent"] = _answer(ours)["repeats"]
        result["resident_mb"] = round(watch.resident_mb, 1)
        watch.end(signal.SIGTERM)
    return result


def _steady(watch: Watch, ours: Any) -> dict[str, Any]:
    before_cpu_s, began_s = watch.cpu_s, time.monotonic()
    ours.send("go")
    lines = _answer(ours)["lines"]
    _until(lambda: len(watch.lines) >= lines)
    seconds = time.monotonic() - began_s
    return {
        "lines": lines,
        "lines_s": round(lines / seconds, 1),
        "lost": lines - len(watch.lines),
        "latency_ms": _latencies(watch.latencies_s),
        "cores_busy": round((watch.cpu_s - before_cpu_s) / seconds, 3),
    }


def _harmed(
    watch: Watch, ours: Any, store: str, broker: Mosquitto, restart: Harm | None, steady_s: float
) -> dict[str, Any]:
    done = []
    ours.send("go")
    harms: tuple[tuple[str, Harm | None], ...] = (
        ("fleet killed", (lambda: watch.end(signal.SIGKILL), watch.start)),
        ("broker killed", (broker.kill, broker.start)),
        ("PostgreSQL killed", restart),
    )
    for name, harm in harms:
        if harm is not None:
            time.sleep(steady_s / 5)
            harm[0]()
            time.sleep(AWAY_S)
            harm[1]()
            done.append(name)
    lines = _answer(ours)["lines"]
    return {"done": done, "lines": lines} | _lost(watch, store, lines)


def _flood(watch: Watch, ours: Any, store: str, before: int) -> dict[str, Any]:
    began_s, before_cpu_s = time.monotonic(), watch.cpu_s
    ours.send("go")
    lines = _answer(ours)["lines"]
    lost = _lost(watch, store, lines)
    seconds = time.monotonic() - began_s
    busy = round((watch.cpu_s - before_cpu_s) / seconds, 3)
    return {"lines": lines - before, "lines_s": round((lines - before) / seconds, 1), "cores_busy": busy} | lost


def _recovery(watch: Watch, ours: Any, store: str, before: int) -> dict[str, Any]:
    """Stop the collector while all nodes write; it then requests the missing lines."""
    watch.end(signal.SIGTERM)
    ours.send("go")
    lines = _answer(ours)["lines"]
    began_s = time.monotonic()
    watch.start()
    lost = _lost(watch, store, lines)
    seconds = time.monotonic() - began_s
    return {"lines": lines - before, "seconds": round(seconds, 1)} | lost


def _lost(watch: Watch, store: str, lines: int) -> dict[str, int]:
    """Wait until all lines are in the store, and return the missing ones."""
    opened = FleetStore(store, writing=False)
    _until(lambda: _kept(opened) >= lines)
    found = sum(1 for _ in opened.lines(LineFilter()))
    opened.close()
    return {"lost": lines - found, "shown_twice": watch.twice}


def _kept(store: FleetStore) -> int:
    return sum(last - first + 1 for coverage in store.coverages().values() for first, last in coverage.held)


def _until(done: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not done() and time.monotonic() < give_up_s:
        time.sleep(0.02)


def _answer(ours: Any) -> Any:
    if not ours.poll(PATIENCE_S):
        raise TimeoutError("the machines do not answer")
    return ours.recv()


def _latencies(seconds: list[float]) -> dict[str, float]:
    return {f"p{part}": round(1000 * float(np.percentile(seconds, part)), 1) for part in (50, 99)}


def main() -> None:
    """Measure, and write it down."""
    parser = option_parser(__doc__)
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=2.0, help="of steady running, twice")
    parser.add_argument("--stores", default="sqlite,postgresql")
    asked = parser.parse_args()
    results: dict[str, Any] = {
        **provenance(" ".join(["python benchmarks/fleet.py", *sys.argv[1:]])),
        "machines": asked.machines,
        "line_s": LINE_S,
        "stores": {},
    }
    raise_open_file_limit()
    for name in asked.stores.split(","):
        folder, restart = Path(tempfile.mkdtemp(prefix="soundwatch-fleet-")), None
        if name == "sqlite":
            store = str(folder / "fleet.db")
        else:
            (folder / "postgres").mkdir()
            folder.chmod(0o755)
            server = Postgres(folder / "postgres")
            store = server.database()
            restart = (server.end, server.start)
        results["stores"][name] = measured(asked.machines, asked.minutes, store, restart, folder)
        print(json.dumps(results["stores"][name]), flush=True)
        if restart is not None:
            restart[0]()
    write_results("fleet", results, TABLES["fleet"])


NAMES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def fleet_table(results: Results) -> Table:
    """Return a column for each store."""
    stores = results["stores"]
    count = results["machines"]
    rows: list[tuple[str, Callable[[Results], str]]] = [
        (
            f"{count:,} machines, a line each {results['line_s']:g} s: lines a second",
            lambda s: f"{s['steady']['lines_s']:g}",
        ),
        ("written to shown, ms: median, 99 of 100", lambda s: "{p50:g}, {p99:g}".format(**s["steady"]["latency_ms"])),
        ("cores that `fleet watch` keeps busy", lambda s: f"{s['steady']['cores_busy']:.2f}"),
        ("lost", lambda s: f"{s['steady']['lost']} of {s['steady']['lines']:,}"),
        ("the same under failures: lost", lambda s: f"{s['harmed']['lost']} of {s['harmed']['lines']:,}"),
        ("failures", lambda s: ", ".join(s["harmed"]["done"])),
        (
            f"{lines_of(results):,} lines at once: lines a second, cores, lost",
            lambda s: f"{s['flood']['lines_s']:,.0f}, {s['flood']['cores_busy']:.2f}, {s['flood']['lost']}",
        ),
        (
            "as many written while the fleet is stopped: s until all are requested and stored, lost",
            lambda s: f"{s['recovery']['seconds']:g}, {s['recovery']['lost']}",
        ),
        ("memory of `fleet watch` at the end, MB", lambda s: f"{s['resident_mb']:.0f}"),
    ]
    head = ("", *(NAMES[name] for name in stores))
    note = "The machines are simulated; broker, store, `fleet watch` and all machines share this one."
    cells = [(name, *(cell(stores[store]) for store in stores)) for name, cell in rows]
    return table(head, cells, f"{note} {machine_of(results)}")


def lines_of(results: Results) -> int:
    """Return the number of lines of a burst."""
    return int(next(iter(results["stores"].values()))["flood"]["lines"])


TABLES: Final = {
    "fleet": {
        "fleet": fleet_table,
    },
}


if __name__ == "__main__":
    main()
