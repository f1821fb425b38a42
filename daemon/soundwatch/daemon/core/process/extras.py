"""Optional packages: the command that installs them.

soundwatch is on no package index, so the command names the folder of a clone.
Does not: import any package.
"""

from __future__ import annotations

import platform
import sys
from typing import Final

EXTRAS: Final = {  # optional packages of the daemon, and the extra that installs each
    "sqlalchemy": "fleet",
    "psycopg": "fleet",
    "pyarrow": "scan",
    "tritonclient": "triton",
    "ray": "ray",
    "wyoming": "wyoming",
    "apprise": "apprise",
    "PIL": "pictures",
}


def install_command(*extras: str) -> str:
    """Return the command that installs extras, for messages.

    Args:
        extras: Names of extras in `pyproject.toml`.
    """
    names = ",".join(extras)
    if _without_gpu():
        return f"`make extras EXTRAS={names}` in a clone of soundwatch"
    return f"`pip install '.[{names}]'` in a clone of soundwatch"


def _without_gpu() -> bool:
    """Return True for an environment of `make run CPU=1`, where `pip install .` would add a second ONNX Runtime."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):  # elsewhere pyproject.toml has one for all
        return False
    return _is_installed("onnxruntime") and not _is_installed("onnxruntime-gpu")


def _is_installed(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError, distribution  # takes megabytes, for a message only

    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
