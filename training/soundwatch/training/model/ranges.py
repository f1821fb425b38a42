"""Ranges of the numbers of a recipe.

Conventions: a message names the key with its section, the number and the range. Each number of a list is checked, and
an empty list is refused. Numbers are finite.
Does not: check types, which msgspec does, or numbers against each other but for two that must rise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract_text import LONGEST_GIVEN_NAME_BYTES, is_model_name, shown


@dataclass(frozen=True, slots=True)
class Range:
    """Range of a number, or of each number of a list.

    Attributes:
        text: Description, after "must".
        holds: Returns True for the numbers of a value that is in the range.
    """

    text: str
    holds: Callable[[tuple[float, ...]], bool]


def _each(text: str, holds: Callable[[float], bool]) -> Range:
    return Range(text, lambda numbers: all(map(holds, numbers)))


AT_LEAST_0: Final = _each("be 0 or more", lambda number: number >= 0)
COUNT: Final = _each("lie in 1 to 1000000", lambda number: 1 <= number <= 1_000_000)
AT_LEAST_1: Final = _each("be 1 or more", lambda number: number >= 1)
ABOVE_0: Final = _each("be above 0", lambda number: number > 0)
SHARE: Final = _each("lie in 0 to 1", lambda number: 0 <= number <= 1)
SCORE: Final = _each("be above 0 and up to 1", lambda number: 0 < number <= 1)
BELOW_1: Final = _each("be 0 or more and below 1", lambda number: 0 <= number < 1)
PRICE: Final = _each("be above 0 and below 1", lambda number: 0 < number < 1)
ODD: Final = _each("be odd and 1 or more", lambda number: number >= 1 and number % 2 == 1)
SPEED: Final = _each("lie in 10 to 1000", lambda number: 10 <= number <= 1000)
SEED: Final = _each("lie in 0 to 1000000000000000", lambda number: 0 <= number <= 10**15)
RISING: Final = Range("rise, the lowest first", lambda numbers: all(one <= other for one, other in pairwise(numbers)))


def refuse_outside(section: object, name: str, **ranges: Range) -> None:
    """Refuse a number outside its range.

    Args:
        section: Record with the numbers.
        name: Name of the section; empty for the recipe itself.
        ranges: Range of each number.

    Raises:
        ConfigError: A number is outside its range, is not finite, or a list is empty.
    """
    for key, wanted in ranges.items():
        value: Any = getattr(section, key)
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers or not all(map(math.isfinite, numbers)) or not wanted.holds(numbers):
            place = f"{name}.{key}" if name else key
            written = list(value) if isinstance(value, tuple) else value
            raise ConfigError(f"{place} is {written}; it must {wanted.text}.")


def check_file_name(name: str, key: str) -> None:
    """Refuse a name that no file can have: it becomes that of a model file and of a run's folder.

    Raises:
        ConfigError: The name has another character, begins with one that is no letter, digit or underscore, or is too
            long.
    """
    if not is_model_name(name, LONGEST_GIVEN_NAME_BYTES):
        raise ConfigError(
            f"{key} {shown(name)} is no name of a file; use letters, digits, dots, hyphens and underscores, at most "
            f"{LONGEST_GIVEN_NAME_BYTES} bytes."
        )
