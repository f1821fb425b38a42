"""A year's hardships done to a real `soundwatch run`, and whether what has to hold did.

Run `python benchmarks/hardship.py` (about ten minutes, most of it 200 kills; the disks take root); it writes
results/hardship.json. tests/support/fault_injection.py lists the faults and what has to hold; CI runs it with
fewer kills.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from soundwatch.daemon import __version__
from soundwatch.training.fit.machine import processor

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "hardship.json"

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
        "command": f"python benchmarks/hardship.py --kills {arguments.kills}",
        "date": datetime.now(UTC).date().isoformat(),
        "soundwatch": __version__,
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "faults": outcomes,
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
