"""A year's hardships done to a real `soundwatch run`, and whether what has to hold did.

Run `python benchmarks/fault_injection.py` (about ten minutes, most of it 200 kills; the disks take root); it writes
results/fault_injection.json. tests/support/fault_injection.py lists the faults and what has to hold; CI runs it with
fewer kills.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from harness import provenance, write_results

ROOT: Final = Path(__file__).resolve().parents[1]

sys.path.insert(0, str(ROOT / "tests"))

from support import fault_injection  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many times it is killed")
    arguments = parser.parse_args()
    faults: list[Callable[[fault_injection.Place], fault_injection.Outcome]] = [
        partial(fault_injection.kills, times=arguments.kills),
        *fault_injection.FAULTS,
    ]
    outcomes: list[dict[str, Any]] = []
    for fault in faults:
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome = fault(fault_injection.Place(Path(folder)))
            except PermissionError as error:
                print(f"left out: {error}")
                continue
        print(f"{outcome.fault}: {outcome.broken or 'all holds'} {outcome.seen}", flush=True)
        outcomes.append({"fault": outcome.fault, "claims": outcome.claims, "seen": outcome.seen})
    results = {
        **provenance(f"python benchmarks/fault_injection.py --kills {arguments.kills}"),
        "faults": outcomes,
    }
    write_results("fault_injection", results)


if __name__ == "__main__":
    main()
