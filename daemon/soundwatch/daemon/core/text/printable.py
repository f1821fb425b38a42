"""Text that a terminal shows and does not act on.

Conventions: text from outside, a label, a device name or a path, may hold control sequences and directional marks.
"""

from __future__ import annotations

import re
from typing import Final

# Controls, line ends, marks of direction, and letters without width other than the two joiners of some scripts.
_INVISIBLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def invisible_character(text: str) -> str | None:
    """Return the first character of a name that nobody sees, or that turns the text around it; None without one."""
    found = _INVISIBLE.search(text)
    return found and found[0]


def printable(text: str) -> str:
    """Return a text with every character that a terminal would act on replaced by its escape."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def printable_lines(text: str) -> str:
    """Return a text of one or more lines with the rest of its characters as `printable` gives them."""
    return "\n".join(map(printable, text.split("\n")))
