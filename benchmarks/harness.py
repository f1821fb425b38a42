"""Shared parts of the benchmarks: machine, figures, processes, results files.

Conventions: seconds and megabytes (1,048,576 bytes); a results file names its command, date, version and machine, and
holds its tables for the documentation (`scripts/figures.py`). `python benchmarks/harness.py NAME...` writes the tables
of benchmarks again without measuring.
Imports nothing heavy, so that a benchmark of memory can use it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from soundwatch.training.model.code_version import code_version

RESULTS: Final = Path(__file__).with_name("results")
ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")

Figure = dict[str, float]
Results = dict[str, Any]
Table = list[str]  # lines of Markdown
Tables = Mapping[str, Callable[[Results], Table]]


def figure(values: Sequence[float]) -> Figure:
    """Return median and range."""
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def option_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the command line, whose help has the lines of a benchmark's docstring."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def model_option(description: str | None) -> str:
    """Return the model of the command line of a benchmark without other options."""
    parser = option_parser(description)
    parser.add_argument("--model", default="urban", help="a shipped model or an ONNX file [default: %(default)s]")
    model: str = parser.parse_args().model
    return model


def restart_with_one_thread() -> None:
    """Replace the process by one whose numpy has one thread, unless it has: numpy reads the variables on import."""
    if not ONE_THREAD.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)  # noqa: S606 -- this program


def repeat(count: int, measure: Callable[[], float]) -> Figure:
    """Return the figure of some runs, after one warm-up."""
    measure()
    return figure([measure() for _ in range(count)])


def machine() -> dict[str, str | int]:
    """Return the machine that the figures are from."""
    from soundwatch.training.fit.setup.machine import processor  # here, since it imports torch

    return {
        "processor": processor(),
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def resident_mb(pid: int | None = None) -> float:
    """Return the resident memory of a process, by default this one; 0 where it is unknown."""
    found = re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid or 'self'}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def cpu_s(pid: int) -> float:
    """Return the processor time of a process and of its children."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            values = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(stat.parent.name) == pid or int(values[1]) == pid:
            total += (int(values[11]) + int(values[12])) * _TICK_S
    return total


def free_port() -> int:
    """Return a TCP port of loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def in_own_process(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script in its own process and return the JSON object of its last line.

    Raises:
        subprocess.CalledProcessError: It failed; `stderr` has its output.
    """
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, check=True, capture_output=True, text=True)
    part: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return part


def provenance(command: str) -> dict[str, Any]:
    """Return command, date, version and machine, with which every results file begins."""
    today = datetime.now(UTC).date().isoformat()
    return {"command": command, "date": today, "version": code_version(), "machine": machine()}


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> Table:
    """Return the Markdown lines of a table and a note below; without headings the note alone."""
    lines = [headings, ["---"] * len(headings), *rows] if headings else []
    notes = note.split("\n") if note else []
    return [*(f"| {' | '.join(line)} |" for line in lines), *([""] if lines and notes else []), *notes]


def share(value: float | None) -> str:
    """Format a share of 0 to 1."""
    return "no clips" if value is None else f"{value:.3f}"


def with_range(figure: dict[str, float], digits: int) -> str:
    """Median and range of a figure."""
    return f"{figure['median']:.{digits}f} ({figure['min']:.{digits}f} to {figure['max']:.{digits}f})"


def machine_of(results: Results) -> str:
    """Describe command, date and machine of a measurement."""
    machine = results["machine"]
    model = f"model `{results['model']}`, " if "model" in results else ""
    return (
        f"`{results['command']}`, {results['date']}: soundwatch {results['version']}, {model}"
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}."
    )


def write_results(name: str, results: Mapping[str, Any], tables: Tables) -> None:
    """Write results/NAME.json with its tables, by their names in the documentation, and print the results."""
    measured: Results = msgspec.json.decode(msgspec.json.encode(results))
    rendered = {table_name: render(measured) for table_name, render in tables.items()}
    path = RESULTS / f"{name}.json"
    path.write_text(_json(measured | {"tables": rendered}), encoding="utf-8")
    print(_json(measured), end="")


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def render_again(names: Sequence[str]) -> None:
    """Write the tables of benchmarks again from what they measured, after a change of the tables alone."""
    for name in names:
        for file, tables in importlib.import_module(name).TABLES.items():
            results: Results = json.loads((RESULTS / f"{file}.json").read_text("utf-8"))
            del results["tables"]
            write_results(file, results, tables)


if __name__ == "__main__":
    render_again(sys.argv[1:])
