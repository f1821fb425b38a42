"""Writes constraints.txt: the release of every package that the tests run with, by name.

Usage: python scripts/lock_dependencies.py (needs the package index; a minute)

Conventions: made on x86-64 Linux with the oldest Python that is supported. Local versions are left out: `torch==2.13.0`
means the CPU build or any CUDA build of it, whichever the index gives, so that pip's choice of one stays pip's.
Does not: install anything, or pin the packages that build soundwatch (pyproject.toml bounds them).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "constraints.txt"
EXTRAS: Final = "training,teacher,tensorboard,scan,ray,triton,fleet,wyoming,apprise,pictures,dev"
HEADER: Final = """\
# What `make test` and CI install: made by `make lock`, never by hand. It bounds nothing for users.
"""


def resolved() -> dict[str, str]:
    """List the packages that would be installed for the tests, with their releases."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
                *("--report", str(report), f"{ROOT}[{EXTRAS}]"),
            ],
            check=True,
        )
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = {item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"] for item in installed}
    return {name: version.partition("+")[0] for name, version in sorted(found.items()) if name != "soundwatch"}


if __name__ == "__main__":
    LOCK.write_text(HEADER + "".join(f"{name}=={version}\n" for name, version in resolved().items()), encoding="utf-8")
