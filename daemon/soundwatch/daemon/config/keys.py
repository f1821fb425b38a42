"""The keys of the configuration with their texts, for programs that show them.

Conventions: `keys.json` is generated from the types in `config.py` and from the comments in the example
`config.yaml` (`make reference`), as the reference in docs/configuration.md is. `*` in a key's path is any name.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

FILE: Final = Path(__file__).with_name("keys.json")
ANY: Final = "*"
PROTECTED: Final = (  # a stolen token must not run a program, open a file, or record or move other sound
    ("sinks",),
    ("model",),
    ("shadow",),
    ("journal",),
    ("clips", "folder"),
    ("clips", "speech_guard"),
    ("detection", "calibration"),
    ("sources", ANY, "device"),
    ("sources", ANY, "channels"),
    ("sources", ANY, "pcm"),
    ("sources", ANY, "certificate"),
    ("sources", ANY, "clips"),
    ("sources", ANY, "listen"),
    ("sources", ANY, "detection", "calibration"),
    ("rules", ANY, "then", "send"),
    ("rules", ANY, "then", "clip"),
)
REMOVABLE: Final = (("sources", ANY), ("rules", ANY))  # as a whole: nothing of them remains

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
    """Return whether only the file may change a key, or set this value in place of a mapping."""
    if any(_matches(path[: len(pattern)], pattern) for pattern in PROTECTED):
        return True
    above = any(_matches(path, pattern[: len(path)]) for pattern in PROTECTED if len(path) < len(pattern))
    return above and value not in (None, {})  # a whole mapping was flattened; another value replaces a protected one


def is_removable(path: Sequence[str]) -> bool:
    """Return whether a change may delete a mapping although it has protected keys."""
    return any(_matches(path, pattern) for pattern in REMOVABLE)


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    return len(path) == len(pattern) and all(wanted in (ANY, name) for name, wanted in zip(path, pattern, strict=True))
