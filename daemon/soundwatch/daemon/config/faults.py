"""Sentences about the faults of a configuration file.

Conventions: a sentence names the line, or the key with the names above it, what was seen and what to do. It quotes no
line of the file, which may hold a password.
Does not: read the file (`file.py`).
"""

from __future__ import annotations

import re
import types
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
import yaml

from soundwatch.daemon.config.config import BACKENDS, SHA256, Config
from soundwatch.daemon.core.languages.language import Sentence
from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.core.text.printable import printable

_EXPONENT: Final = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")  # a number for people, a text for YAML
_NUMBER: Final = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)")

# Messages of msgspec about one value, and the parts of its place.
_PART: Final = re.compile(r"\[[^\]]*\]|[^.\[]+")
_ANY_NAME: Final = "[...]"
_OUT_OF_RANGE: Final = re.compile(r"Expected `(?P<type>[^`]*)` (?P<range>[<>]=? \S+) - at `\$\.?(?P<key>[^`]*)`")
_WRONG_TYPE: Final = re.compile(r"Expected `(?P<type>[^`]*)`, got `(?P<found>[^`]*)` - at `\$\.?(?P<key>[^`]*)`")
_MISSING: Final = re.compile(r"Object missing required field `(?P<missing>[^`]*)` - at `\$\.?(?P<key>[^`]*)`")
_EMPTY: Final = re.compile(r"Expected `[^`]*` of length >= 1 - at `\$\.?(?P<key>[^`]*)`")
_NO_MATCH: Final = re.compile(r"Expected `[^`]*` matching regex '(?P<pattern>.*)' - at `\$\.?(?P<key>[^`]*)`")
_MATCHES: Final = {BACKENDS: "auto, onnx, torchscript or triton://HOST:PORT", SHA256: "8 to 64 hexadecimal digits"}
_NO_CHOICE: Final = re.compile(r"Invalid enum value (?P<value>.*) - at `\$\.?(?P<key>[^`]*)`", re.DOTALL)
_UNKNOWN: Final = re.compile(r"unknown field `(?P<unknown>[^`]*)`(?: - at `\$\.?(?P<key>[^`]*)`)?")
_TEXT_EXPECTED: Final = re.compile(
    r"Expected `[^`]*\bstr\b[^`]*`(, got `(bool|int|float|null|date|datetime)`| - at `key`)"
)
_QUOTE: Final = (
    "YAML reads words such as no, on, off and yes, and numbers, as other types "
    'than text; put the text in quotes, such as "no" or "1".'
)
_TYPES: Final = re.compile(r"(?<=Expected `)[^`]*|(?<=got `)[^`]*")
_TYPE_NAMES: Final = {
    "object": "mapping",
    "array": "list",
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
}


def yaml_fault(error: Exception, content: bytes) -> str:
    """Return the fault that the reader of YAML reports, with its line.

    Args:
        error: The reader's error.
        content: Bytes of the file.
    """
    match error:
        case UnicodeDecodeError():
            line = content.count(b"\n", 0, error.start) + 1
            found = f"line {line} holds the byte 0x{content[error.start]:02x}"
            return f"{found}, and UTF-8 was expected. Save the file in UTF-8."
        case yaml.reader.ReaderError():
            line = content.decode("utf-8-sig").count("\n", 0, error.position) + 1
            return f"line {line} holds the character U+{error.character:04X}, which YAML refuses. Remove it."
        case yaml.MarkedYAMLError():
            reason = ", ".join(part for part in (error.context, error.problem) if part)
            mark = error.problem_mark or error.context_mark
            return f"line {mark.line + 1}, column {mark.column + 1}: {reason}." if mark else f"{reason}."
        case RecursionError():
            return "it has too many levels."
        case _:
            return f"{error}."


def explain(message: str, tree: Any) -> str:
    """Return the sentence about a value that does not fit its key.

    The sentence has the nearest known key, the values of a choice, or how to write the value.

    Args:
        message: Message of msgspec.
        tree: Content of the file.
    """
    names, narrowed = _narrow(message, tree)
    sentence = _explain_value(message, narrowed)
    if isinstance(sentence, Sentence):
        values = sentence.values
        types = {key: _with_type_names(str(values[key])) for key in values.keys() & {"type", "found"}}
        return sentence.with_values(**types, key=_with_names(str(values["key"]), names))
    return in_yaml_words(_with_names(sentence, names))


def _narrow(message: str, tree: Any) -> tuple[list[str], Any]:
    """Return the names that stand for `[...]` in msgspec's message, and the tree without the names beside them."""
    place = re.search(r"`\$\.?([^`]*)`$", message)
    names: list[str] = []
    above: list[Any] = []
    for part in _PART.findall(place[1]) if place else ():
        if part.startswith("[") and part != _ANY_NAME:
            break
        if part == _ANY_NAME:
            trees = {name: _only(tree, above, name) for name in _values_below(tree, above)}
            part = next((name for name, candidate in trees.items() if _fault_of(candidate) == message), None)
            if part is None:
                break
            tree = trees[part]
            names.append(printable(str(part)))
        above.append(part)
    return names, tree


def _values_below(tree: Any, path: list[Any]) -> dict[Any, Any]:
    """Return the mapping at a path of keys; empty if none is there."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def _only(tree: Any, path: list[Any], name: Any) -> dict[Any, Any]:
    """Return a tree whose mapping at a path has one name only."""
    if not path:
        return {name: tree[name]}
    return {**tree, path[0]: _only(tree[path[0]], path[1:], name)}


def _fault_of(tree: Any) -> str:
    """Return msgspec's message about a tree; empty for none."""
    try:
        msgspec.convert(tree, Config)
    except (msgspec.ValidationError, RecursionError) as error:
        return str(error)
    return ""


def _with_names(text: str, names: list[str]) -> str:
    for name in names:
        text = text.replace(_ANY_NAME, f".{name}", 1)
    return text


def in_yaml_words(message: str) -> str:
    """Return a message of msgspec with its types in the words of YAML, and without its mark of the root."""
    return _TYPES.sub(lambda found: _with_type_names(found[0]), message).replace("`$.", "`")


def _with_type_names(text: str) -> str:
    """Return the types of msgspec, such as `float | null`, in the words of YAML."""
    return " | ".join(_TYPE_NAMES.get(name, name) for name in text.split(" | "))


def _explain_value(message: str, tree: Any) -> str:
    """Return the sentence about a message of `msgspec` about one value."""
    if wrong_type := _WRONG_TYPE.fullmatch(message):
        return _explain_type(message, wrong_type, tree)
    if _TEXT_EXPECTED.match(message):
        return f"{message}. {_QUOTE}"
    if found := _OUT_OF_RANGE.fullmatch(message):
        return Sentence("Expected `{type}` {range} - at `{key}`.", **found.groupdict())
    if found := _NO_CHOICE.fullmatch(message):
        return Sentence(
            "Invalid enum value {value} - at `{key}`. Choose one of these: {choices}.",
            choices=_choices_at(found["key"]),
            **found.groupdict(),
        )
    if found := _EMPTY.fullmatch(message):
        return f"`{found['key']}` is empty. Write a value, or remove the key."
    if (found := _NO_MATCH.fullmatch(message)) and found["pattern"] in _MATCHES:
        return f"`{found['key']}` has another form than {_MATCHES[found['pattern']]}. Correct the value."
    if found := _MISSING.fullmatch(message):
        return f"`{found['key']}` lacks the key `{found['missing']}`. Add it."
    if found := _UNKNOWN.search(message):
        return _explain_unknown(found["unknown"], found["key"] or "")
    return f"{message}."


def _explain_type(message: str, wrong_type: re.Match[str], tree: Any) -> str:
    """Return the sentence about a value of the wrong type."""
    choices = _choices_at(wrong_type["key"])
    if choices.startswith("true, "):
        return f"{message}. Choose one of these: {choices}."
    if _TEXT_EXPECTED.match(message):
        return f"{message}. {_QUOTE}"
    if wrong_type["found"] == "null":
        return f"`{wrong_type['key']}` has no value. Write one, indent its keys below it, or remove the key."
    values = [value for value in _values_at(tree, wrong_type["key"]) if isinstance(value, str)]
    written = next((value for value in values if _EXPONENT.fullmatch(value)), None)
    if "float" in wrong_type["type"] and written is not None:
        return (
            f"{message}. YAML reads {written} as text; write a number with a point and a sign "
            "of the exponent, as 1.0e+3."
        )
    if any(_NUMBER.fullmatch(value) for value in values) and re.search("float|int", wrong_type["type"]):
        return f"{message}. Write the number without quotes, and without a zero in front of its digits."
    return Sentence("Expected `{type}`, got `{found}` - at `{key}`.", **wrong_type.groupdict())


def _explain_unknown(key: str, where: str) -> str:
    """Return the sentence about a key that the keys at a place do not have."""
    known = _keys_at(where)
    hint = did_you_mean(key, known, "`{}`")
    keys = f"{'Known' if hint else 'known'} keys: {', '.join(known)}"
    return f"`{where + '.' if where else ''}{key}` is not a key; {hint}{keys}."


def _keys_at(where: str) -> list[str]:
    """List the known keys at a path such as `sources[...]` or `detection.classes[...]`."""
    record = next(type_ for type_ in _types_at(where) if hasattr(type_, "__struct_fields__"))
    return [field.encode_name for field in msgspec.structs.fields(record)]


def _choices_at(where: str) -> str:
    """List the values of a choice at a path such as `log.level`; empty for no choice."""
    types_ = _types_at(where)
    named = [str(value) for type_ in types_ if get_origin(type_) is Literal for value in get_args(type_)]
    return ", ".join([*(("true", "false") if bool in types_ else ()), *named]) if named else ""


def _types_at(where: str) -> list[Any]:
    """List the types that a value may have at a path such as `sources[...]` or `schedules[...].when[0]`."""
    types_: list[Any] = [Config]
    for part in _PART.findall(where):
        if part.startswith("["):
            items = [get_args(type_)[1 if get_origin(type_) is dict else 0] for type_ in types_ if get_args(type_)]
        else:
            records = [type_ for type_ in types_ if hasattr(type_, "__struct_fields__")]
            items = [f.type for type_ in records for f in msgspec.structs.fields(type_) if f.encode_name == part]
        types_ = [type_ for item in items for type_ in _alternatives(item)]
    return types_


def _values_at(tree: Any, where: str) -> list[Any]:
    """List the values at a path; `[...]` and `[0]` stand for every item."""
    values = [tree]
    for part in _PART.findall(where):
        if part.startswith("["):
            items = [one.values() if isinstance(one, dict) else one for one in values if isinstance(one, dict | list)]
            values = [item for some in items for item in some]
        else:
            values = [one[part] for one in values if isinstance(one, dict) and part in one]
    return values


def _alternatives(type_: Any) -> list[Any]:
    """List the types of a union, without annotations."""
    if get_origin(type_) is Annotated:
        return _alternatives(get_args(type_)[0])
    if get_origin(type_) in (Union, types.UnionType):
        return [one for part in get_args(type_) for one in _alternatives(part)]
    return [type_]
