"""Table of the calls that commands make beyond their configuration.

Conventions: as in `figures.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tables import table

Results = dict[str, Any]

_COLUMNS: Final = ("connections", "dns_queries", "files")


def privacy(results: Results) -> str:
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
    return f"{table(headings, rows)}\n\nBefore: {results['before_version']}. `{command}`, {date}."


PRIVACY_FIGURES: Final[dict[str, tuple[str, Callable[[Results], str]]]] = {"privacy": ("privacy.json", privacy)}
