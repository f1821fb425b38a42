"""Unknown keys of a YAML document, refused with the nearest name that exists.

Conventions: a place is written as in `features.rate_hz`. Only keys are looked at here; msgspec checks the values.
Does not: read files or convert values.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import UnionType
from typing import Any, get_args

import msgspec

from soundwatch.daemon.core.errors import ConfigError


def refuse_unknown_keys(value: Any, wanted: Any, place: str = "") -> None:
    """Compare the keys of a YAML mapping, and of those inside it, with a struct's fields.

    Args:
        value: What YAML gave.
        wanted: The struct, or a union of tagged ones; any other type is not looked into.
        place: Where in the document `value` stands.

    Raises:
        ConfigError: A key means nothing.
    """
    struct = _struct_for(value, wanted)
    if struct is None:
        return
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    tag = struct.__struct_config__.tag_field
    names = [*fields, *([tag] if tag else [])]
    for key, inner in value.items():
        where = f"{place}.{key}" if place else str(key)
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it may be one of {', '.join(names)}."
            raise ConfigError(f"{where} is not a key; {hint}")
        refuse_unknown_keys(inner, fields.get(key), where)


def _struct_for(value: Any, wanted: Any) -> Any:
    """The struct that a mapping is meant to become, or None where that cannot be told."""
    if not isinstance(value, Mapping):
        return None
    candidates = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    structs = [each for each in candidates if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    if len(structs) > 1:
        structs = [
            each for each in structs if value.get(each.__struct_config__.tag_field) == each.__struct_config__.tag
        ]
    return structs[0] if structs else None
