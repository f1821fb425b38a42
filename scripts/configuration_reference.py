"""The reference of configuration keys and of sinks' options.

Types, defaults and bounds come from `config/config.py` and from the records that sinks read their options into; what a
key means, from the comment over it in `config.yaml`, which a test of its own holds complete.

Does not: repeat a comment for the equal key of a class; it refers to that key.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Final

import msgspec
import yaml
from generated_regions import ROOT
from tables import table
from type_docs import attributes, cell, default_of, values_of

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.sinks.kinds import OUTPUT_KINDS
from soundwatch.daemon.web.http.settings import HttpOptions

Place = tuple[str, ...]

_KEY: Final = re.compile(r"^( *)([a-z_][a-z0-9_]*):( \S)?")
_ANY: Final = "*"


def comments(text: str) -> dict[Place, str]:
    """Read the comment over each key of a YAML file, by the key's place; keys without one share the one above."""
    found: dict[Place, str] = {}
    place: list[tuple[int, str]] = []
    key_texts: list[str] = []
    shared = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            key_texts.append(line.lstrip(" #") if not line.lstrip().startswith("#  ") else f"    {line.lstrip()[4:]}")
            continue
        key = _KEY.match(line)
        if key is not None:
            indent = len(key[1])
            beside = key[3] is not None and bool(place) and place[-1][0] == indent
            place = [*(item for item in place if item[0] < indent), (indent, key[2])]
            shared = _paragraphs(key_texts) or (shared if beside else "")
            found[tuple(name for _, name in place)] = shared
        else:
            shared = ""
        key_texts = []
    return found


def _paragraphs(lines: list[str]) -> str:
    """Convert lines of a comment to Markdown: sentences on one line, indented lines unchanged."""
    text = "\n".join(lines)
    text = re.sub(r"(?m)^(    .*\n)(?! )", r"\1\n", re.sub(r"(?m)^(\S.*\n)(?=    )", r"\1\n", text))
    return re.sub(r"(?<=\S)\n(?=\S)", " ", text)


def configuration() -> str:
    """Format a heading for each key at the top, and a table of the keys below it."""
    key_texts = comments((ROOT / "config.yaml").read_text(encoding="utf-8"))
    type_ = msgspec.inspect.type_info(Config)
    assert isinstance(type_, msgspec.inspect.StructType)
    return "\n\n".join(_section(field, key_texts) for field in type_.fields)


def _section(field: msgspec.inspect.Field, key_texts: dict[Place, str]) -> str:
    key = field.encode_name
    rows = [
        (
            f"`{'.'.join(place)}`",
            _default(below),
            cell(values_of(below.type, place[-1])),
            cell(meaning(place, below, key_texts)),
        )
        for place, below in below((key,), field.type)
    ]
    parts = [f"### {key}", meaning((key,), field, key_texts)]
    if not isinstance(field.type, msgspec.inspect.StructType):
        parts.append(f"Default: {_default(field)}.")
    if rows:
        parts.append(table(("key", "default", "values", "meaning"), rows))
    return "\n\n".join(parts)


def below(place: Place, type_: msgspec.inspect.Type) -> Iterator[tuple[Place, msgspec.inspect.Field]]:
    """Yield every key below a place, at any depth."""
    if isinstance(type_, msgspec.inspect.DictType):
        yield from below((*place, _ANY), type_.value_type)
    elif isinstance(type_, msgspec.inspect.StructType):
        for field in type_.fields:
            here = (*place, field.encode_name)
            if not isinstance(field.type, msgspec.inspect.StructType):
                yield here, field
            yield from below(here, field.type)


def _default(field: msgspec.inspect.Field) -> str:
    shown = yaml.safe_dump(default_of(field), default_flow_style=True, width=1000).replace("\n...", "")
    return cell(f"`{shown.strip()}`")


def meaning(place: Place, field: msgspec.inspect.Field, key_texts: dict[Place, str]) -> str:
    """Return the key's comment, or a reference to the key with its meaning, or its record's description."""
    own = _comment(place, key_texts)
    if own:
        return own
    if place[-2:-1] == (_ANY,) and _comment((*place[:-3], place[-1]), key_texts):
        return f"As `{'.'.join((*place[:-3], place[-1]))}`, of one class."
    if place[:3] == ("sources", _ANY, "detection"):
        return f"As `{'.'.join(place[2:])}`, of this source."
    if isinstance(field.type, msgspec.inspect.StructType):
        return inspect.getdoc(field.type.cls) or ""
    sys.exit(f"config.yaml has no comment over {'.'.join(place)}; describe the key there.")


def _comment(place: Place, key_texts: dict[Place, str]) -> str:
    """Return the comment over a key; `*` is any name."""
    for other, comment in key_texts.items():
        same = len(other) == len(place) and all(
            ours in (_ANY, theirs) for ours, theirs in zip(place, other, strict=True)
        )
        if same and comment:
            return comment
    return ""


def sinks() -> str:
    """Format the kinds of sinks and their options."""
    kinds = table(("kind", "as"), ((f"`{name}`", cell(kind.help)) for name, kind in OUTPUT_KINDS.items()))
    records: dict[type[msgspec.Struct], list[str]] = {}
    for name, kind in OUTPUT_KINDS.items():
        record = HttpOptions if kind.load is None else kind.load()[0]
        records.setdefault(record, []).append(f"`{name}`")
    rows = [(", ".join(names), *row) for record, names in records.items() for row in _option_rows(record)]
    return f"{kinds}\n\n{table(('of', 'option', 'default', 'values', 'meaning'), rows)}"


def _option_rows(record: type[msgspec.Struct]) -> Iterator[tuple[str, ...]]:
    type_, key_texts = msgspec.inspect.type_info(record), attributes(record)
    assert isinstance(type_, msgspec.inspect.StructType)
    for field in type_.fields:
        if field.name not in key_texts:
            sys.exit(f"The docstring of {record.__name__} does not describe {field.name}.")
        values = cell(values_of(field.type, field.encode_name))
        yield f"`{field.encode_name}`", _default(field), values, cell(key_texts[field.name])
