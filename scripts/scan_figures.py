"""The documentation's tables of what archives cost.

Conventions: as in `figures.py`. Efficiency is the rate with two workers over twice that with one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from runtime_figures import machine_of, measured
from tables import table

Results = dict[str, Any]

CORES: Final = 8  # of each machine of the model on paper
ARCHIVE_H: Final = 100_000
EFFICIENCY: Final = 0.8


def scan(results: Results) -> str:
    """A row a scan."""
    audio_h = results["audio_h"]
    rows = []
    for each in results["scans"]:
        alone = next(one for one in results["scans"] if one["engine"] == each["engine"] and one["workers"] == 1)
        efficiency = alone["wall_s"] / each["wall_s"] / each["workers"]
        local = each["engine"] == "local"  # Ray's processes are nobody's children
        rows.append(
            (
                each["engine"],
                str(each["workers"]),
                f"{each['wall_s']:.1f}",
                f"{audio_h * 3600 / each['wall_s']:,.0f}",
                f"{efficiency:.2f}",
                f"{audio_h * 3600 / each['cpu_s']:,.0f}" if local else "",
                f"{each['worker_mb']:.0f}" if local else "",
                f"{each['coordinator_mb']:.0f}",
            )
        )
    headings = ("engine", "workers", "time, s", "hours of audio an hour", "efficiency")
    more = ("hours of audio an hour of a core", "MB a worker", "MB of the one who hands out")
    note = (
        f"{audio_h:g} hours of 48 kHz mono in 16 bits, {results['archive_bytes'] / 1e9:.1f} GB, half of them in "
        f"one file. The machine's load just before was {results['load_before']}."
    )
    return f"{table((*headings, *more), rows)}\n\n{note} {machine_of(results)}"


def scan_model(results: Results) -> str:
    """Machines on paper: how long they take, what they read, and how long the one who hands out then decides."""
    alone = next(each for each in results["scans"] if each["engine"] == "local" and each["workers"] == 1)
    a_core = results["audio_h"] * 3600 / alone["cpu_s"]
    bytes_a_second = results["archive_bytes"] / results["audio_h"] / 3600
    rows = []
    for machines in (1, 10, 1000):
        rate = machines * CORES * a_core * EFFICIENCY
        rows.append(
            (
                f"{machines:,}",
                f"{rate:,.0f}",
                _time(ARCHIVE_H / rate),
                f"{rate * bytes_a_second / 1e6:,.0f} MB/s",
                f"{(CORES * alone['worker_mb'] + alone['coordinator_mb']) / 1000:.1f} GB",
                _time(ARCHIVE_H / results["judged_windows_a_second"]),
            )
        )
    headings = (
        "machines",
        "hours of audio an hour",
        f"{ARCHIVE_H:,} hours are scored in",
        "they read",
        "memory of each",
        "then one process judges for",
    )
    note = (
        f"On paper, from the measured {a_core:,.0f} hours of audio an hour of a core and "
        f"{results['judged_windows_a_second']:,} windows a second judged: {CORES} such cores a machine, an "
        f"efficiency of {EFFICIENCY}, a window a second, 48 kHz mono in 16 bits uncompressed, and a disk or network "
        "that gives what is read."
    )
    return f"{table(headings, rows)}\n\n{note}"


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def data_parallel(results: Results) -> str:
    """A row a number of processes: an epoch's time, and how far the weights are from one process's."""
    alone = results["training"][0]["epoch_s"]
    rows = [
        (
            str(each["processes"]),
            f"{each['epoch_s']:.1f}",
            f"{alone / each['epoch_s']:.2f}",
            f"{each['weights_apart']:.0e}" if each["weights_apart"] else "0",
        )
        for each in results["training"]
    ]
    headings = ("processes", "an epoch, s", "times as fast", "largest difference of a weight after two epochs")
    note = f"One thread a process. The machine's load just before was {results['load_before']}."
    return f"{table(headings, rows)}\n\n{note} {machine_of(results)}"


def serving(results: Results) -> str:
    """A row a batch: what a window takes here and on a server."""
    if not results["serving"]:
        return "Not measured yet."
    rows = [
        (
            str(each["windows_at_once"]),
            measured(each["here_ms"], 2),
            measured(each["server_ms"], 2),
            f"{each['scores_apart']:.0e}" if each["scores_apart"] else "0",
        )
        for each in results["serving"]["rows"]
    ]
    headings = ("windows at once", "a window here, ms", "a window on the server, ms", "largest difference of a score")
    note = f"Server: {results['serving']['server']}. The machine's load just before was {results['load_before']}."
    return f"{table(headings, rows)}\n\n{note} {machine_of(results)}"


SCAN_FIGURES: Final[dict[str, tuple[str, Callable[[Results], str]]]] = {
    "scan": ("scan.json", scan),
    "scan-model": ("scan.json", scan_model),
    "data-parallel": ("clusters.json", data_parallel),
    "serving": ("clusters.json", serving),
}
