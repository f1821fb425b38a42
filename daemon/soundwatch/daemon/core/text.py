"""Text for terminals.

Conventions: text from outside, a label, a device name or a path, may hold control sequences and directional marks.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text with every character that a terminal would act on replaced by its escape."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()
