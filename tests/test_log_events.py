"""Each log event of the daemon is a stable name that the documentation explains."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DAEMON = ROOT / "daemon" / "soundwatch" / "daemon"
LEVELS = {"info", "warning", "error"}


def logged_events() -> Iterator[tuple[str, str]]:
    """Yield each event that code passes to a logger as a literal, with its place."""
    for path in sorted(DAEMON.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            logger = ast.unparse(node.func.value)
            if logger.rpartition(".")[2] in ("log", "_log") and node.args and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value), f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_log_event_is_a_name_that_the_documentation_explains() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    events = dict(logged_events())
    assert len(events) > 40, "the search finds the events"
    assert [
        f"{event} at {place}" for event, place in events.items() if not re.fullmatch(r"[a-z][a-z0-9_]*", event)
    ] == []
    assert [f"{event} at {place}" for event, place in events.items() if f"`{event}`" not in pages] == []
