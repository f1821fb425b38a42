"""Exposure of the units by systemd-analyze.

Run `python benchmarks/hardening.py` (seconds; needs systemd-analyze, not a running systemd); it writes
results/hardening.json.

Conventions: exposure is systemd's own weighted sum, 0 (complete sandbox) to 10 (none).
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from harness import Results, Table, table, write_results

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "hardening.json"
UNITS: Final = ("soundwatch.service", "soundwatch-user.service")
PROGRAM: Final = "/opt/soundwatch/bin/soundwatch"

_OPEN = re.compile(r"^✗ (\S+)\s+(.*?)\s+(\d+\.\d)$", re.M)
_OVERALL = re.compile(r"Overall exposure level for \S+: (\d+\.\d)")


def exposure(unit: Path) -> dict[str, Any]:
    """Run systemd-analyze on one unit."""
    user = "-user" in unit.stem
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / unit.name
        path.write_text(unit.read_text(encoding="utf-8").replace(PROGRAM, "/bin/true"), encoding="utf-8")
        command = ["systemd-analyze", *(["--user"] if user else []), "security", "--offline=true", str(path)]
        environment = os.environ | {"XDG_RUNTIME_DIR": folder}
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
    overall = _OVERALL.search(said)
    assert overall is not None, said
    still_open = [
        {"setting": name, "means": means, "weighs": float(weight)} for name, means, weight in _OPEN.findall(said)
    ]
    return {"unit": unit.name, "exposure": float(overall[1]), "open": still_open}


def main() -> None:
    """Measure both units."""
    version = subprocess.run(
        ["systemd-analyze", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    results: dict[str, Any] = {
        "command": "python benchmarks/hardening.py",
        "date": datetime.now(UTC).date().isoformat(),
        "systemd": version[1],
        "units": [exposure(ROOT / "daemon" / "systemd" / name) for name in UNITS],
    }
    write_results("hardening", results, TABLES["hardening"])


def hardening_table(results: Results) -> Table:
    """Return a row for each unit."""
    rows = [(f"`{unit['unit']}`", f"{unit['exposure']:.1f}") for unit in results["units"]]
    note = (
        f"`{results['command']}`, {results['date']}, systemd {results['systemd']}: 0 is a complete sandbox, 10 is none."
    )
    return table(("unit", "exposure"), rows, note)


def hardening_open_table(results: Results) -> Table:
    """Return a row for each setting that the system's unit leaves open."""
    left = [
        (f"`{setting['setting']}`", setting["means"], f"{setting['weighs']:.1f}")
        for setting in results["units"][0]["open"]
    ]
    return table(("open in the system unit", "systemd's description", "weight"), left)


TABLES: Final = {
    "hardening": {
        "hardening": hardening_table,
        "hardening-open": hardening_open_table,
    },
}


if __name__ == "__main__":
    main()
