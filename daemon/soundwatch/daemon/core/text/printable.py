"""Text that a terminal shows and does not act on.

Conventions: text from outside, a label, a device name or a path, may hold control sequences and directional marks.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text with every character that a terminal would act on replaced by its escape."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def printable_lines(text: str) -> str:
    """Return a text of one or more lines with the rest of its characters as `printable` gives them."""
    return "\n".join(map(printable, text.split("\n")))
