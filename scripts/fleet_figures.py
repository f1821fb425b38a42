"""The documentation's table of what a fleet of many machines carries.

Conventions: as in `figures.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from runtime_figures import machine_of
from tables import table

Results = dict[str, Any]
NAMES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def fleet(results: Results) -> str:
    """A column a store."""
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
        ("the same while harm is done: lost", lambda s: f"{s['harmed']['lost']} of {s['harmed']['lines']:,}"),
        ("harm", lambda s: ", ".join(s["harmed"]["done"])),
        (
            f"{lines_of(results):,} lines at once: lines a second, cores, lost",
            lambda s: f"{s['flood']['lines_s']:,.0f}, {s['flood']['cores_busy']:.2f}, {s['flood']['lost']}",
        ),
        (
            "as many written while the fleet is away: s until all were asked for and kept, lost",
            lambda s: f"{s['recovery']['seconds']:g}, {s['recovery']['lost']}",
        ),
        ("memory of `fleet watch` at the end, MB", lambda s: f"{s['resident_mb']:.0f}"),
    ]
    head = ("", *(NAMES[name] for name in stores))
    text = table(head, [(name, *(told(stores[store]) for store in stores)) for name, told in rows])
    note = "The machines are simulated; broker, store, `fleet watch` and all machines share this one."
    return f"{text}\n\n{note} {machine_of(results)}"


def lines_of(results: Results) -> int:
    """How many lines a flood is."""
    return int(next(iter(results["stores"].values()))["flood"]["lines"])


FLEET_FIGURES: Final[dict[str, tuple[str, Callable[[Results], str]]]] = {"fleet": ("fleet.json", fleet)}
