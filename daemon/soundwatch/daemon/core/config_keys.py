"""The keys of the configuration with their texts, for programs that show them.

Conventions: `config_keys.json` is generated from the types in `config.py` and from the comments in the example
`config.yaml` (`make reference`), as the reference in docs/configuration.md is. `*` in a key's path is any name.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

FILE: Final = Path(__file__).with_name("config_keys.json")
ANY: Final = "*"
PROTECTED: Final = (  # a stolen token of the page must not run a program, or move sound to another place
    ("sinks",),
    ("model",),
    ("shadow",),
    ("journal",),
    ("clips", "folder"),
    ("sources", ANY, "listen"),
    ("rules", ANY, "then", "send"),
)
NO_PATHS: Final = (("clips", "speech_guard"),)  # true or false; a text is the path of a model

Kind = Literal["boolean", "integer", "number", "choice", "text", "list", "any"]


class ConfigKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key.

    Attributes:
        path: Names of the keys from the top.
        text: Meaning.
        default: Default.
        values: Description of the values.
        kind: Kind of input that fits.
        choices: Values of a choice.
        nullable: Whether null is a value.
    """

    path: tuple[str, ...]
    text: str
    default: Any
    values: str
    kind: Kind
    choices: tuple[Any, ...] = ()
    nullable: bool = False


@functools.cache
def config_keys() -> tuple[ConfigKey, ...]:
    """Return all keys in the order of the example."""
    return msgspec.json.decode(FILE.read_bytes(), type=tuple[ConfigKey, ...])


def is_protected(path: Sequence[str], value: Any = None) -> bool:
    """Return whether only the file may change a key, or set this value."""
    if any(_matches(path[: len(pattern)], pattern) for pattern in PROTECTED):
        return True
    if any(_matches(path, pattern[: len(path)]) for pattern in PROTECTED if len(path) < len(pattern)):
        return value not in (None, {})  # a whole mapping was flattened; another value replaces a protected one
    return isinstance(value, str) and any(_matches(path, pattern) for pattern in NO_PATHS)


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    return len(path) == len(pattern) and all(wanted in (ANY, name) for name, wanted in zip(path, pattern, strict=True))
