"""Connections, DNS queries and foreign files of each command, counted by strace in a network without a route.

Run `python benchmarks/privacy.py --before PROGRAM` (four minutes; needs strace, iproute2 and PulseAudio); it writes
results/privacy.json. PROGRAM is the `soundwatch` of an older installation, to compare with.

Conventions: a DNS query is each call that addresses port 53; a file counts once, whatever is done to it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from harness import Results, Table, option_parser, table, write_results

from soundwatch.training.model.code_version import code_version

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "privacy.json"
sys.path.insert(0, str(ROOT / "tests"))

from support.syscall_trace import NetworkWithoutRoute, Trace, tracing_obstacle  # noqa: E402
from support.traced_commands import (  # noqa: E402
    AFTER_RUN,
    COMMANDS,
    RUN,
    TERMINAL,
    WATCH,
    Bench,
    TracedCommand,
)
from support.traced_run import run_everything, run_on_terminal  # noqa: E402
from support.virtual_microphone import VirtualMicrophone  # noqa: E402

Counts = dict[str, int]


def count(program: str, folder: Path) -> dict[str, Counts]:
    """Count the calls of each command of an installation."""
    sound_server = folder / "pulse"
    sound_server.mkdir()
    microphone = VirtualMicrophone(sound_server)
    network = NetworkWithoutRoute()
    bench = Bench(folder / "bench", network, (program,), microphone.env, (str(sound_server),))
    bench.prepare()
    try:
        return {command.name: counts(bench, command, traced) for command, traced in traces(bench)}
    finally:
        network.close()
        microphone.kill()


def traces(bench: Bench) -> Iterator[tuple[TracedCommand, Trace]]:
    """Trace each command, the long run first."""
    daemon, collector, _ = run_everything(bench)
    yield RUN, daemon
    yield WATCH, collector
    traced, terminal = run_on_terminal(bench)
    terminal.close()
    yield TERMINAL, traced
    for command in (*COMMANDS, *AFTER_RUN):
        yield command, bench.trace(command)


def counts(bench: Bench, command: TracedCommand, traced: Trace) -> Counts:
    """Count what a command did beyond its configuration and the documentation."""
    if traced.returncode not in command.exit_codes:
        raise SystemExit(f"{command.name} ended with {traced.returncode}: {traced.output.decode()[-2000:]}")
    permitted = bench.permitted(command)
    return {
        "connections": len(traced.foreign_connections(permitted)),
        "dns_queries": len(traced.queries),
        "files": len(traced.foreign_files(permitted)),
    }


def version_of(program: str) -> str:
    """Return the version that a program prints."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[-1]


def main() -> None:
    """Count both installations."""
    parser = option_parser(__doc__)
    parser.add_argument("--before", required=True, metavar="PROGRAM")
    options = parser.parse_args()
    obstacle = tracing_obstacle()
    if obstacle:
        raise SystemExit(f"Commands cannot be traced here: {obstacle}")
    programs = {"before": options.before, "now": str(Path(sys.executable).with_name("soundwatch"))}
    results: dict[str, Any] = {
        "command": "python benchmarks/privacy.py --before PROGRAM",
        "date": datetime.now(UTC).date().isoformat(),
        "version": code_version(),
        "before_version": version_of(options.before),
    }
    for name, program in programs.items():
        with tempfile.TemporaryDirectory(prefix="soundwatch-") as folder:
            results[name] = count(program, Path(folder))
    write_results("privacy", results, TABLES["privacy"])


_COLUMNS: Final = ("connections", "dns_queries", "files")


def privacy_table(results: Results) -> Table:
    """Write a row for each command: calls of the older installation, and of this one."""
    rows = [
        (
            f"`{name}`",
            *(str(before[column]) for column in _COLUMNS),
            *(str(results["now"][name][column]) for column in _COLUMNS),
        )
        for name, before in results["before"].items()
    ]
    headings = ("command", "connections before", "DNS queries", "files", "connections now", "DNS queries", "files")
    command, date = results["command"], results["date"]
    return table(headings, rows, f"Before: {results['before_version']}. `{command}`, {date}.")


TABLES: Final = {
    "privacy": {
        "privacy": privacy_table,
    },
}


if __name__ == "__main__":
    main()
