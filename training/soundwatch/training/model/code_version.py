"""Version of the code that runs: for models and for results of benchmarks.

Conventions: in a checkout the commit, since the version of an editable installation stays that of its commit, though
the code goes on. Elsewhere, and where git is missing or refuses the folder, the version of the package.
Imports nothing heavy, so that a benchmark of memory can use it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from soundwatch.daemon import __version__

CHECKOUT: Final = Path(__file__).resolve().parents[4]
CODE: Final = ("daemon", "training", "export", "benchmarks/*.py")


def code_version(checkout: Path = CHECKOUT) -> str:
    """Return the commit of a checkout, with a mark after changes of the code; elsewhere the version of the package."""
    if not (checkout / ".git").exists():
        return __version__
    try:
        commit = _git(checkout, "rev-parse", "--short=9", "HEAD")
        changed = _git(checkout, "status", "--porcelain", "--", *CODE)
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"commit {commit}{', changed' if changed else ''}"


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(checkout), *arguments]  # so that nothing in it is written
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # no external input
    return done.stdout.strip()
