"""Regions of the documentation that are written by a program, between two marks that no reader sees.

A page holds a region between `<!-- KIND: NAME -->` and `<!-- end KIND -->`.

Conventions: a program receives the present content of a region, so it can keep text that was written by hand.
Does not: generate the content (`figures.py`, `reference.py`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]

Region = Callable[[str, str], str]


def renewed(page: str, kind: str, region: Region) -> str:
    """Return a page's text with new content of every region of this kind."""
    found = re.compile(rf"(<!-- {kind}: ([\w-]+) -->\n)(.*?)(<!-- end {kind} -->)", re.S)
    return found.sub(lambda item: f"{item[1]}{region(item[2], item[3])}\n{item[4]}", page)


def write(arguments: Sequence[str], kind: str, region: Region, complaint: str) -> int:
    """Rewrite the regions in README.md and docs/*.md; with --check, only list stale pages after `complaint`.

    Returns:
        The exit code: 1 if --check found a stale page.
    """
    stale = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        page = path.read_text(encoding="utf-8")
        wanted = renewed(page, kind, region)
        if wanted != page:
            stale.append(path.relative_to(ROOT).as_posix())
            if "--check" not in arguments:
                path.write_text(wanted, encoding="utf-8")
    if "--check" in arguments and stale:
        print(f"{complaint} in {', '.join(stale)}; run `make {kind}`.", file=sys.stderr)
        return 1
    return 0
