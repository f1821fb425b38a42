"""Parts of messages: numbers with nouns, near words, causes of failures."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.network.tls_fault import tls_fault_text


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the singular or the plural: `1 line`, `2 lines`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def did_you_mean(word: str, known: Iterable[str], form: str = "{}") -> str:
    """Return a question with the nearest known word, for messages; empty if none is near.

    Args:
        word: The unknown word.
        known: The known words.
        form: How the known word is written, such as "`{}`".
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {form.format(near[0])}? " if near else ""


def unknown_placeholder(name: str, known: Iterable[str]) -> str:
    """Return the sentence that refuses a placeholder of a template: its nearest name, and all names."""
    known = tuple(known)
    names = ", ".join(f"${placeholder}" for placeholder in known)
    return f"${name} is no placeholder; {did_you_mean(name, known, '${}')}known: {names}."


def failure_text(error: Exception) -> str:
    """Return the cause of a failure as one sentence."""
    if isinstance(error, SoundwatchError):
        return str(error)
    return tls_fault_text(str(error)) or getattr(error, "strerror", None) or str(error) or type(error).__name__
