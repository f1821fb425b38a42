"""Optional packages: the command that installs them.

soundwatch is on no package index, so the command names the folder of a clone.
Does not: import any package.
"""

from __future__ import annotations

from typing import Final

EXTRAS: Final = {  # optional packages of the daemon, and the extra that installs each
    "sqlalchemy": "fleet",
    "psycopg": "fleet",
    "pyarrow": "scan",
    "tritonclient": "triton",
    "ray": "ray",
    "wyoming": "wyoming",
    "apprise": "apprise",
}


def install_command(*extras: str) -> str:
    """Return the command that installs extras, for messages.

    Args:
        extras: Names of extras in `pyproject.toml`.
    """
    return f"`pip install '.[{','.join(extras)}]'` in a clone of soundwatch"
