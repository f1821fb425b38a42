"""Text for terminals and messages.

Conventions: text from outside, a label, a device name or a path, may hold control sequences and directional marks.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

from soundwatch.daemon.core.errors import ConfigError, SoundwatchError
from soundwatch.daemon.core.tls_fault import tls_fault_text


def printable(text: str) -> str:
    """Return a text with every character that a terminal would act on replaced by its escape."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def printable_lines(text: str) -> str:
    """Return a text of one or more lines with the rest of its characters as `printable` gives them."""
    return "\n".join(map(printable, text.split("\n")))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the singular or the plural: `1 line`, `2 lines`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def check_utf8(text: str, what: str) -> None:
    """Refuse a name that no line, log or journal can hold.

    Args:
        text: The name, as the system gives it.
        what: The subject of the message.

    Raises:
        ConfigError: The name has bytes that are not UTF-8.
    """
    if fault := utf8_fault(text, what):
        raise ConfigError(fault)


def utf8_fault(text: str, what: str) -> str | None:
    """Return a sentence about a name with bytes that are not UTF-8, as for `check_utf8`; None about any other."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"{what} is not UTF-8 at character {error.start + 1}. Rename the file or folder, or give another one."
    return None


def environment_text(name: str) -> str | None:
    """Return a variable of the environment, whose value may be a secret; None if there is none.

    Raises:
        ConfigError: The value has bytes that are not UTF-8.
    """
    value = os.environ.get(name)
    if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
        raise ConfigError(f"The value of the variable {name} in the environment is not UTF-8. Set it again.")
    return value


def did_you_mean(word: str, known: Iterable[str], form: str = "{}") -> str:
    """Return a question with the nearest known word, for messages; empty if none is near.

    Args:
        word: The unknown word.
        known: The known words.
        form: How the known word is written, such as "`{}`".
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {form.format(near[0])}? " if near else ""


def failure_text(error: Exception) -> str:
    """Return the cause of a failure as one sentence."""
    if isinstance(error, SoundwatchError):
        return str(error)
    return tls_fault_text(str(error)) or getattr(error, "strerror", None) or str(error) or type(error).__name__
