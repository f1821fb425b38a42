"""Fault injection into a real `soundwatch run`, and the claims that have to hold.

Run `python benchmarks/fault_injection.py` (about ten minutes, most of it 200 kills; mounting the disks needs root); it
writes results/fault_injection.json. tests/support/fault_injection.py and edge_faults.py define the faults and the
claims; CI runs those of the first file, with fewer kills.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from harness import Results, Table, option_parser, provenance, table, write_results

ROOT: Final = Path(__file__).resolve().parents[1]

sys.path.insert(0, str(ROOT / "tests"))

from support import edge_faults, fault_injection  # noqa: E402
from support.fault_harness import Outcome, Place  # noqa: E402


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--kills", type=int, default=200, help="number of kills")
    arguments = parser.parse_args()
    faults: list[Callable[[Place], Outcome]] = [
        partial(fault_injection.kills, times=arguments.kills, warm=True),
        *fault_injection.FAULTS,
        *edge_faults.EDGE_FAULTS,
    ]
    outcomes: list[dict[str, Any]] = []
    for fault in faults:
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome = fault(Place(Path(folder)))
            except PermissionError as error:
                print(f"skipped: {error}")
                continue
        print(f"{outcome.fault}: {outcome.broken or 'all claims hold'} {outcome.seen}", flush=True)
        outcomes.append({"fault": outcome.fault, "claims": outcome.claims, "seen": outcome.seen})
    results = {
        **provenance(f"python benchmarks/fault_injection.py --kills {arguments.kills}"),
        "faults": outcomes,
    }
    write_results("fault_injection", results, TABLES["fault_injection"])


def fault_injection_table(results: Results) -> Table:
    """Return a row for each fault with its claims and their results."""
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
    return table(("fault", "claims", "held", "counts"), rows, note)


TABLES: Final = {
    "fault_injection": {
        "fault-injection": fault_injection_table,
    },
}


if __name__ == "__main__":
    main()
