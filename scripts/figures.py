"""Tables of figures in README.md and docs/*.md, written from benchmarks/results/*.json and nowhere else.

Usage: python scripts/figures.py [--check]

A page holds a region between `<!-- figures: NAME -->` and `<!-- end figures -->`. A benchmark writes its tables, by
these names, into its results file. With --check nothing is written, and the exit code is 1 if a region differs from the
results.

Does not: measure, or choose what a table shows (the benchmark that wrote it does).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Final

from generated_regions import ROOT, write

RESULTS: Final = ROOT / "benchmarks" / "results"


def known_tables() -> dict[str, list[str]]:
    """Return the lines of the tables of all results files, by name."""
    found: dict[str, list[str]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        found |= json.loads(path.read_text(encoding="utf-8")).get("tables", {})
    return found


def region(name: str, known: dict[str, list[str]]) -> str:
    """Return the text of a region."""
    if name not in known:
        sys.exit(
            f"No results file has a table called {name}; known: {', '.join(sorted(known)) or 'none'}. Correct the "
            "name, or run the benchmark that writes it."
        )
    return "\n".join(known[name])


def main(arguments: Sequence[str]) -> int:
    """Rewrite the regions, or with --check report which pages are stale."""
    known = known_tables()
    return write(arguments, "figures", lambda name, _: region(name, known), "Figures differ from benchmarks/results")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
