"""Text of the system that may not be UTF-8: names of files and variables of the environment."""

from __future__ import annotations

import os

from soundwatch.daemon.core.errors import ConfigError


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
