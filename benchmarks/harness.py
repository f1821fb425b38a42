"""Shared parts of the benchmarks: machine, figures, processes, results files.

Conventions: seconds and megabytes (1,048,576 bytes); a results file names its command, date, version and machine.
Imports nothing heavy, so that a benchmark of memory can use it.
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from soundwatch.daemon import __version__

RESULTS: Final = Path(__file__).with_name("results")
ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")

Figure = dict[str, float]


def figure(values: Sequence[float]) -> Figure:
    """Return median and range."""
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def repeat(count: int, measure: Callable[[], float]) -> Figure:
    """Return the figure of some runs, after one warm-up."""
    measure()
    return figure([measure() for _ in range(count)])


def machine() -> dict[str, str | int]:
    """Return the machine that the figures are from."""
    from soundwatch.training.fit.machine import processor  # here, since it imports torch

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
    return {"command": command, "date": today, "version": __version__, "machine": machine()}


def write_results(name: str, results: Mapping[str, Any]) -> None:
    """Write results/NAME.json and print it."""
    text = json.dumps(results, indent=2) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    print(text, end="")
