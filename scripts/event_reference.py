"""The reference of events: each line's keys, types and whether they may be null, from the published schema.

The table's last column in docs/events.md describes each key and is kept. A key without a description is an error.

Conventions: a region is called as its record in `events/schema.py`, `SourceHealthLine` is `source-health-line`.
`COMMON` keys are in the region `every-line` only.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Final

from tables import table

from soundwatch.daemon.events.schema import json_schema

EVERY: Final = "every-line"
COMMON: Final = ("schema", "type", "time", "node", "source", "seq", "repeated")  # in all or nearly all lines
HEADINGS: Final = ("key", "type", "meaning")

Schema = dict[str, Any]

_ROW: Final = re.compile(r"^\| `(\w+)` \|[^|\n]*\| (.*) \|$", re.M)


def line_schemas() -> dict[str, Schema]:
    """Return the schema of each kind of line by the name of its region."""
    return {re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower(): part for name, part in json_schema()["$defs"].items()}


def events(name: str, now: str) -> str:
    """Return the table of a line's keys, with the descriptions that the page has now."""
    schemas = line_schemas()
    meanings = dict(_ROW.findall(now))
    if name == EVERY:
        parts = list(schemas.values())
        keys = {
            key: _united([part["properties"][key] for part in parts if key in part["properties"]]) for key in COMMON
        }
    elif name in schemas:
        keys = {key: type_of(subschema) for key, subschema in schemas[name]["properties"].items() if key not in COMMON}
    else:
        sys.exit(f"There is no line called {name}; known: {EVERY}, {', '.join(schemas)}.")
    missing = [key for key in keys if not meanings.get(key, "").strip()]
    if missing:
        example = f"| `{missing[0]}` | {keys[missing[0]]} | what it means |"
        sys.exit(f"docs/events.md, {name}: {', '.join(missing)} has no description. Add to that table: {example}")
    return table(HEADINGS, ((f"`{key}`", kind, meanings[key]) for key, kind in keys.items()))


def _united(schemas: list[Schema]) -> str:
    """Return one type for a key of many lines; constants count as text."""
    kinds = list(dict.fromkeys(type_of(schema) for schema in schemas))
    if len(kinds) == 1:
        return kinds[0]
    texts = {kind for kind in kinds if kind not in ("null", "string or null")}
    return "string" if len(texts) == len(kinds) else "string or null"


def type_of(schema: Schema) -> str:
    """Describe a property's type."""
    if "anyOf" in schema:
        return " or ".join(type_of(item) for item in schema["anyOf"])
    if "const" in schema:
        return f"`{str(schema['const']).lower() if isinstance(schema['const'], bool) else schema['const']}`"
    if "enum" in schema:
        return ", ".join("null" if value is None else f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"array of {type_of(schema['items'])}"
    if schema["type"] == "object":
        return f"object of {type_of(schema['additionalProperties'])}"
    return str(schema["type"])
