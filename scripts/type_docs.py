"""Description of a msgspec type, and of a record's fields from its docstring.

Conventions: null, true and false are those of YAML and JSON.
Does not: guess. A type without a description is an error.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import inspect as types

UNITS: Final = {"s": "seconds", "ms": "ms", "hz": "Hz", "days": "days", "bytes": "bytes", "db": "dB", "dbfs": "dBFS"}
PLAIN: Final[dict[type[types.Type], str]] = {
    types.StrType: "text",
    types.IntType: "whole number",
    types.FloatType: "number",
    types.BoolType: "`true`, `false`",
    types.NoneType: "null",
}
_BOUNDS: Final = (("ge", "{} or more"), ("gt", "above {}"), ("le", "at most {}"), ("lt", "below {}"))


def values_of(type_: types.Type, key: str = "") -> str:
    """Describe the values of a type, with the unit from the key's name."""
    if isinstance(type_, types.UnionType):
        return " or ".join(values_of(item, key) for item in type_.types)
    if isinstance(type_, types.LiteralType):
        return ", ".join(f"`{value}`" for value in type_.values)
    if isinstance(type_, types.VarTupleType | types.ListType):
        return f"list of: {values_of(type_.item_type)}"
    if isinstance(type_, types.DictType):
        return f"name: {values_of(type_.value_type)}"
    if isinstance(type_, types.StructType):
        return "a mapping"
    if isinstance(type_, types.AnyType):
        return "anything"
    if type(type_) not in PLAIN:
        sys.exit(f"{key} is of {type_}; scripts/type_docs.py has no description of that type.")
    return _number(type_, key) if isinstance(type_, types.IntType | types.FloatType) else PLAIN[type(type_)]


def _number(type_: types.IntType | types.FloatType, key: str) -> str:
    bounds = [texts.format(_short(getattr(type_, name))) for name, texts in _BOUNDS if getattr(type_, name) is not None]
    unit = UNITS.get(key.rpartition("_")[2], "")
    return (unit or PLAIN[type(type_)]) + (f" ({', '.join(bounds)})" if bounds else "")


def _short(number: float) -> str:
    return str(int(number) if number == int(number) else number)


def attributes(record: Callable[..., Any]) -> dict[str, str]:
    """Return the `Attributes:` of a record and of its base classes, each on one line."""
    found: dict[str, str] = {}
    for item in reversed(getattr(record, "__mro__", (record,))):
        _, _, listed = inspect.cleandoc(vars(item).get("__doc__") or "").partition("\nAttributes:\n")
        texts = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", listed, re.M)
        found |= {name: " ".join(text.split()) for name, text in texts}
    return found


def default_of(field: types.Field) -> Any:
    """Return a field's default as a value of YAML and JSON."""
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return msgspec.to_builtins(value)


def cell(text: str) -> str:
    """Escape a text for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
