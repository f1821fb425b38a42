"""The documentation's table of what was lost while broker, program and disk failed.

Conventions: as in `figures.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from tables import table

Results = dict[str, Any]


def losses(results: Results) -> str:
    """What was done, and what became of the lines."""
    account = results["account"]
    done = Counter(each["what"] for each in results["done"])
    rows = (
        ("events", f"{account['events']:,}"),
        ("lines numbered by the journal", f"{account['lines']:,}"),
        ("program killed (`kill -9`)", f"{done['program killed and started']} times"),
        ("broker killed (`kill -9`)", f"{done['broker killed']} times"),
        ("the journal's disk filled", f"{done['disk filled']} times"),
        ("old lines that the journal dropped for want of room", f"{account['journal_dropped']:,}"),
        ("**lost** on the way to the file", f"**{account['file_lost']}**"),
        ("**lost** on the way to the broker", f"**{account['broker_lost']}**"),
        ("came again, marked", f"{account['repeated']:,}"),
        ("came again, not marked", f"**{account['unmarked']}**"),
        ("broken lines in the file", f"{account['broken']}"),
    )
    machine = results["machine"]
    note = f"`{results['command']}`, {results['date']}, {machine['processor']}, {machine['system']}."
    return f"{table(('what', 'figure'), rows)}\n\n{note}"


LOSS_FIGURES: Final[dict[str, tuple[str, Callable[[Results], str]]]] = {"losses": ("losses.json", losses)}
