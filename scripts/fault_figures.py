"""The documentation's table of faults done to microphones.

Conventions: as in `figures.py`. Each figure is the worst of its runs; for missing sound the run is shown whose account
is furthest from the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tables import table

Results = dict[str, Any]


def faults(results: Results) -> str:
    """A row a fault."""
    rows: list[tuple[str, ...]] = []
    for fault in results["faults"]:
        runs = fault["runs"]
        off = max(runs, key=lambda run: abs(run["missing_accounted_s"] - run["missing_true_s"]))
        others = [run["other_lost_s"] for run in runs if run["other_lost_s"] is not None]
        rows.append(
            (
                fault["name"],
                f"{max(run['noticed_s'] for run in runs):.1f}",
                "" if runs[0]["recovered_s"] is None else f"{max(run['recovered_s'] for run in runs):.1f}",
                f"{off['missing_accounted_s']:.2f}",
                f"{off['missing_true_s']:.2f}",
                f"{max(others):.2f}" if others else "",
                f"{sum(run['wrong_events'] for run in runs)} of {sum(run['events'] for run in runs)}",
            )
        )
    rows.append(_disconnects(results["disconnects"]))
    titles = ("fault", "noticed after, s", "recovered after, s", "missing by account, s", "in truth, s")
    machine, times = results["machine"], len(results["faults"][0]["runs"])
    note = (
        f"`{results['command']}`, {results['date']}: the worst of {times} runs each, on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['system']}."
    )
    return f"{table((*titles, 'lost by another microphone, s', 'wrong events'), rows)}\n\n{note}"


def fault_injection(results: Results) -> str:
    """Return a row for each fault: what has to hold, and whether it held."""
    rows = []
    for fault in results["faults"]:
        broken = [claim for claim, holds in fault["claims"].items() if not holds]
        seen = ", ".join(f"{what}: {count}" for what, count in fault["seen"].items())
        held = f"**not: {', '.join(broken)}**" if broken else "all"
        rows.append((fault["fault"], ", ".join(fault["claims"]), held, seen))
    machine = results["machine"]
    note = (
        f"`{results['command']}`, {results['date']}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}."
    )
    return f"{table(('fault', 'has to hold', 'held', 'counted'), rows)}\n\n{note}"


def _disconnects(many: Results) -> tuple[str, ...]:
    """The row of one microphone that is unplugged again and again."""
    wrong = f"{many['wrong_events']} of {many['events']}"
    times = (f"{many['noticed_s']:.1f}", f"{many['recovered_s']:.1f}")
    return (f"unplugged {many['times']} times in a row", *times, "", "", f"{many['other_lost_s']:.2f}", wrong)


def growth(results: Results) -> str:
    """A row a process: what it held early in many disconnects, and after them."""
    many = results["disconnects"]
    names = {
        "daemon": "the program",
        "flapping": "that captures the microphone that is unplugged",
        "steady": "that captures the other",
    }
    rows = []
    for key, name in names.items():
        warm, after = many["warm"][key], many["after"][key]
        memory = (f"{warm['memory_kb'] / 1000:.1f}", f"{after['memory_kb'] / 1000:.1f}")
        rows.append((name, *memory, *(f"{warm[what]}, {after[what]}" for what in ("threads", "files"))))
    early, late = f"MB after {many['warm_times']}", f"after {many['times']}"
    return table(("process", early, late, "threads", "open files"), rows)


def soak(results: Results) -> str:
    """A row a figure of a day through the whole program."""
    looks = [look for look in results["looks"] if look["hours"] >= 1]
    first, last = looks[0], looks[-1]
    most = max(look["memory_kb"] for look in looks)
    rows = [
        ("sound", f"{results['hours']:g} hours in {results['took_s']:.0f} s"),
        ("lines, events", f"{results['lines']:,}, {results['events']:,}"),
        ("lines that the file lacks", str(results["lost_lines"])),
        ("share of the sound that was heard", f"{results['coverage']:g}"),
        (
            "resident memory after an hour, at the most, at the end, MB",
            " ".join(f"{each / 1000:.1f}" for each in (first["memory_kb"], most, last["memory_kb"])),
        ),
        ("threads after an hour, at the end", f"{first['threads']}, {last['threads']}"),
        ("open files after an hour, at the end", f"{first['files']}, {last['files']}"),
    ]
    machine = results["machine"]
    note = (
        f"`{results['command']}`, {results['date']}, sinks {', '.join(results['sinks'])}: {machine['processor']}, "
        f"{machine['cores']} cores, {machine['system']}."
    )
    return f"{table(('what', 'figure'), rows)}\n\n{note}"


FAULT_FIGURES: Final[dict[str, tuple[str, Callable[[Results], str]]]] = {
    "faults": ("microphone_faults.json", faults),
    "fault-injection": ("fault_injection.json", fault_injection),
    "soak": ("soak.json", soak),
    "growth": ("microphone_faults.json", growth),
}
