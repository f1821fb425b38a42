"""The keys of the configuration as data for the settings editor of the page: `config/keys.json`.

Conventions: texts are those of the reference in docs/configuration.md; Markdown is left in place, since the page shows
backquotes as code. The catalogues of languages have translations of them, `settings`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence, Set

import msgspec
from configuration_reference import Place, below, comments, meaning
from generated_regions import ROOT
from msgspec import inspect as types
from type_docs import default_of, values_of

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.keys import FILE, ConfigKey, Kind
from soundwatch.daemon.core.languages.language import FOLDER

KINDS: dict[type[types.Type], Kind] = {
    types.BoolType: "boolean",
    types.IntType: "integer",
    types.FloatType: "number",
    types.StrType: "text",
    types.LiteralType: "choice",
}


def keys() -> list[ConfigKey]:
    """Return every key of the configuration that has a value of its own."""
    texts = comments((ROOT / "config.yaml").read_text(encoding="utf-8"))
    type_ = types.type_info(Config)
    assert isinstance(type_, types.StructType)
    return [_key(place, field, meaning(place, field, texts)) for place, field in _all(type_) if _is_value(field.type)]


def _all(type_: types.StructType) -> Iterator[tuple[Place, types.Field]]:
    for field in type_.fields:
        yield (field.encode_name,), field
        yield from below((field.encode_name,), field.type)


def _is_value(type_: types.Type) -> bool:
    """Return whether a key holds a value, and not keys that have texts of their own."""
    return not (
        isinstance(type_, types.StructType)
        or (isinstance(type_, types.DictType) and isinstance(type_.value_type, types.StructType))
    )


def _key(place: Place, field: types.Field, text: str) -> ConfigKey:
    members = field.type.types if isinstance(field.type, types.UnionType) else (field.type,)
    own = [member for member in members if not isinstance(member, types.NoneType)]
    kind: Kind = "any"
    if len(own) == 1:
        kind = KINDS.get(type(own[0]), "list" if isinstance(own[0], types.VarTupleType) else "any")
        if kind == "list" and not isinstance(own[0].item_type, types.StrType | types.LiteralType):  # type: ignore[attr-defined]
            kind = "any"
    return ConfigKey(
        path=place,
        text=text,
        default=default_of(field),
        values=values_of(field.type, place[-1]),
        kind=kind,
        choices=tuple(own[0].values) if isinstance(own[0], types.LiteralType) and kind == "choice" else (),
        nullable=len(own) < len(members),
    )


def write_keys(arguments: Sequence[str]) -> int:
    """Write the file, and drop translations of former texts; with --check, only report differences.

    Returns:
        The exit code: 1 if --check found a difference.
    """
    found = keys()
    wanted = {FILE: msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"}
    texts = {text for key in found for text in (key.text, key.values)}
    wanted |= {path: without_stale_settings(path.read_bytes(), texts) for path in FOLDER.glob("*.json")}
    stale = [path for path, content in wanted.items() if not path.exists() or path.read_bytes() != content]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.name} differs from the code; run `make reference`.", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_bytes(wanted[path])
    return 0


def without_stale_settings(catalogue: bytes, texts: Set[str]) -> bytes:
    """Return a catalogue without translations of texts that no key has; the page shows a changed text in English."""
    tree = json.loads(catalogue)
    tree["settings"] = {text: form for text, form in tree.get("settings", {}).items() if text in texts}
    return (json.dumps(tree, ensure_ascii=False, indent=1) + "\n").encode()
