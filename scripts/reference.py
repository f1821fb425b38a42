"""The documentation's references, written from the code: configuration, sinks, events, commands, exit codes.

Usage: python scripts/reference.py [--check]

A page holds a region between `<!-- reference: NAME -->` and `<!-- end reference -->`; the names are in `REFERENCES`,
and those of the kinds of lines (`event_reference.py`). With --check nothing is written, and the exit code is 1 if a
region differs from the code.

Does not: write prose: text outside the regions and descriptions of event keys are written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final

from command_reference import commands, exit_codes
from config_keys import write_keys
from configuration_reference import configuration, sinks
from event_reference import events
from generated_regions import write

REFERENCES: Final[dict[str, Callable[[], str]]] = {
    "configuration": configuration,
    "sinks": sinks,
    "commands": commands,
    "exit-codes": exit_codes,
}


def region(name: str, now: str) -> str:
    """Return the content of a region."""
    return REFERENCES[name]() if name in REFERENCES else events(name, now)


def main(arguments: Sequence[str]) -> int:
    """Rewrite the regions and the keys of the settings editor, or list stale pages with --check."""
    stale_keys = write_keys(arguments)
    return write(arguments, "reference", region, "The references differ from the code") or stale_keys


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
