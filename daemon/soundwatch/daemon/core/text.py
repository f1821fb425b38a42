"""Text for terminals.

Conventions: text from outside, a label, a device name or a path, may hold control sequences and directional marks.
"""

from __future__ import annotations

from soundwatch.daemon.core.errors import SoundwatchError


def printable(text: str) -> str:
    """Return a text with every character that a terminal would act on replaced by its escape."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()


def failure_text(error: Exception) -> str:
    """Return the cause of a failure as one sentence."""
    if isinstance(error, SoundwatchError):
        return str(error)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
