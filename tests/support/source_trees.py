"""The syntax trees of the modules of a source root."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def modules(root: str) -> list[Path]:
    """Return the files of a source root; there is at least one."""
    found = sorted((ROOT / root / "soundwatch").rglob("*.py"))
    assert found, f"no modules in {root}"
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))
