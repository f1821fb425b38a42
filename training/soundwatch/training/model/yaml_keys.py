"""Check of a YAML document for unknown keys, with the nearest known name in the message.

Conventions: a place is written as in `features.rate_hz`. Only keys are checked here; msgspec checks the values.
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
    """Compare the keys of a YAML mapping and of its nested mappings with the fields of a struct.

    Args:
        value: Parsed YAML.
        wanted: The struct, or a union of tagged structs; other types are not checked.
        place: Position of `value` in the document.

    Raises:
        ConfigError: A key is unknown.
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
    """Return the struct that a mapping is converted to, or None if it is ambiguous."""
    if not isinstance(value, Mapping):
        return None
    candidates = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    structs = [
        candidate for candidate in candidates if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct)
    ]
    if len(structs) > 1:
        structs = [
            candidate
            for candidate in structs
            if value.get(candidate.__struct_config__.tag_field) == candidate.__struct_config__.tag
        ]
    return structs[0] if structs else None
