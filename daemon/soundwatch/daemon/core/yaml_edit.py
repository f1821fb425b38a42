"""Changes values in a YAML file without changing any other byte: comments, order, quotes, line ends, byte order mark.

Conventions: a key's path is the names of the keys from the top. The parser gives the position of each value in the
text, and only those characters are replaced. The result is parsed and compared with the intended tree.
Rule: YAML syntax that cannot be changed in place (an alias, a tag) is refused; the file is never rewritten as a whole.
Does not: write files (`core/atomic_file.py`) or know which keys exist (`core/config.py`).
Source: a round trip of ruamel.yaml 0.19 moves the comment over the next section into the changed one, and deletes it
with the last key of a section; hence the positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import yaml

from soundwatch.daemon.core.config_file import parse_yaml
from soundwatch.daemon.core.errors import ConfigError

KeyPath = tuple[str, ...]
_BOM: Final = "\ufeff"
_COLON: Final = re.compile(r"\s*:")


def edit_yaml(text: str, changes: Mapping[KeyPath, Any], removed: Iterable[KeyPath] = ()) -> str:
    """Return a text with other values of some keys; missing keys are added.

    Args:
        text: The text of a YAML file.
        changes: New values.
        removed: Keys to delete; a key that is not there is ignored.

    Raises:
        ConfigError: The text uses YAML syntax that cannot be changed in place.
    """
    removed = tuple(removed)
    mark, body = (text[:1], text[1:]) if text.startswith(_BOM) else ("", text)
    tree = parse_yaml(body.encode(), "the text")
    intended = _intended({} if tree is None else tree, changes, removed)
    paths = [*removed, *changes]
    try:
        for path in removed:
            body = _without(body, path)
        for path, value in changes.items():
            body = _with(body, path, value)
        result = parse_yaml(body.encode(), "the result")
    except (_UnsupportedError, yaml.YAMLError, ConfigError):
        result = None
    if ({} if result is None else result) != intended or (result is None and intended):
        raise ConfigError(
            f"The file uses YAML syntax that cannot be changed in place, such as an anchor, at "
            f"{' or '.join('.'.join(path) for path in paths)}. Change the file by hand."
        )
    return mark + body


class _UnsupportedError(Exception):
    """A value has no position of its own in the text."""


def _intended(tree: Any, changes: Mapping[KeyPath, Any], removed: Iterable[KeyPath]) -> Any:
    """Return the tree that the changed text has to give."""
    tree = _copied(tree)
    for path in removed:
        inner = tree
        for key in path[:-1]:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner.pop(path[-1], None)
    for path, value in changes.items():
        inner = tree
        for key in path[:-1]:
            if not isinstance(inner.get(key), dict):
                inner[key] = {}
            inner = inner[key]
        inner[path[-1]] = value
    return tree


def _copied(tree: Any) -> Any:
    """Copy a tree; what an alias shares becomes two values."""
    if isinstance(tree, dict):
        return {key: _copied(inner) for key, inner in tree.items()}
    return [_copied(inner) for inner in tree] if isinstance(tree, list) else tree


def _entries(text: str, path: KeyPath) -> tuple[list[tuple[yaml.Node, yaml.Node]], yaml.Node | None]:
    """Return key and value along a path as far as they exist, and the node of the whole text."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    found: list[tuple[yaml.Node, yaml.Node]] = []
    node = root
    for name in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        entry = next(((key, value) for key, value in pairs if key.value == name), None)
        if entry is None:
            break
        if entry[1].start_mark.index < entry[0].end_mark.index:  # an alias; its node is elsewhere
            raise _UnsupportedError
        found.append(entry)
        node = entry[1]
    return found, root


def _with(text: str, path: KeyPath, value: Any) -> str:
    found, root = _entries(text, path)
    if len(found) == len(path):
        node = found[-1][1]
        if isinstance(node, yaml.SequenceNode) and not node.flow_style and isinstance(value, list):
            edited = _edited_list(text, node, _value_at(text, path), value)
            if edited is not None:
                return edited
        return _replaced(text, *found[-1], value)
    parent = found[-1][1] if found else root
    rest = path[len(found) :]
    if isinstance(parent, yaml.MappingNode):
        return _inserted(text, parent, rest, value, top=not found)
    if parent is None:
        start = text if not text or text.endswith("\n") else text + _newline(text)
        return start + _block(rest, value, "", _newline(text)) + _newline(text)
    if not found:
        raise _UnsupportedError
    for name in reversed(rest):
        value = {name: value}
    return _replaced(text, *found[-1], value)


def _inserted(text: str, parent: yaml.MappingNode, rest: KeyPath, value: Any, *, top: bool) -> str:
    """Insert a key after the last one of a mapping."""
    last = parent.value[-1][1] if parent.value else None
    if parent.flow_style:
        for name in reversed(rest[1:]):
            value = {name: value}
        entry = f"{_flow(rest[0])}: {_flow(value)}"
        at = parent.start_mark.index + 1 if last is None else _end(text, parent.value[-1])
        return f"{text[:at]}{'' if last is None else ', '}{entry}{text[at:]}"
    newline = _newline(text)
    at = text.find("\n", _end(text, parent.value[-1]))
    at = len(text) if at < 0 else at - (text[at - 1] == "\r")
    entry = _block(rest, value, " " * parent.start_mark.column, newline)
    new = f"{text[:at]}{newline * (2 if top else 1)}{entry}{text[at:]}"
    return new if new.endswith("\n") else new + newline


def _block(path: KeyPath, value: Any, indent: str, newline: str) -> str:
    """Return nested keys, each on a line of its own."""
    lines = [f"{indent}{'  ' * depth}{_flow(name)}:" for depth, name in enumerate(path)]
    return newline.join(lines) + f" {_flow(value)}"


def _replaced(text: str, key: yaml.Node, node: yaml.Node, value: Any) -> str:
    """Replace a value; comments between its key and its first character stay."""
    end = _end(text, (key, node))
    colon = _after_colon(text, key)
    start = max(node.start_mark.index, colon)
    if "\n" in text[colon:start]:  # the value begins on a later line
        return f"{text[:colon]} {_flow(value)}{text[colon:start].rstrip()}{text[end:]}"
    return f"{text[:start]}{' ' if start == colon else ''}{_flow(value)}{text[end:]}"


def _value_at(text: str, path: KeyPath) -> Any:
    value = parse_yaml(text.encode(), "the text")
    for key in path:
        value = value[key]
    return value


def _edited_list(text: str, node: yaml.SequenceNode, old: list[Any], value: list[Any]) -> str | None:
    """Replace, delete and append items of a list in block style, so that the others keep their comments.

    Returns:
        The text; None if items are changed in another way.
    """
    if len(old) == len(value):
        for number in reversed(range(len(old))):
            if old[number] != value[number]:
                item = node.value[number]
                end = _end(text, (item, item))
                text = f"{text[: item.start_mark.index]}{_flow(value[number])}{text[end:]}"
        return text
    kept = [number for number, item in enumerate(old) if item in value]
    added = value[len(kept) :]
    if not kept or [old[number] for number in kept] != value[: len(kept)]:
        return None
    lines = text.splitlines(keepends=True)
    indent, newline = " " * node.start_mark.column, _newline(text)
    last_line = text.count("\n", 0, _end(text, (node.value[-1], node.value[-1])))
    if added and not lines[last_line].endswith("\n"):
        lines[last_line] += newline
    lines[last_line] += "".join(f"{indent}- {_flow(item)}{newline}" for item in added)
    for number in reversed(range(len(old))):
        if number not in kept:
            item = node.value[number]
            first, last = item.start_mark.line, text.count("\n", 0, _end(text, (item, item)))
            rest = lines[last].split(newline, 1)[1] if number == len(old) - 1 and newline in lines[last] else ""
            lines[first : last + 1] = [rest]
    return "".join(lines)


def _without(text: str, path: KeyPath) -> str:
    """Delete a key, with the comment on its line; a mapping that loses its only key becomes `{}`."""
    found, root = _entries(text, path)
    if len(found) < len(path):
        return text
    key, node = found[-1]
    parent = found[-2][1] if len(found) > 1 else root
    assert isinstance(parent, yaml.MappingNode)
    if len(parent.value) == 1 and len(found) > 1:
        return _replaced(text, *found[-2], {})
    start, end = key.start_mark.index, _end(text, (key, node))
    if parent.flow_style:
        after = re.compile(r"\s*,\s*").match(text, end)
        if after is not None:
            return text[:start] + text[after.end() :]
        return text[:start].rstrip().removesuffix(",") + text[end:]
    line_end = text.find("\n", end)
    return text[: text.rfind("\n", 0, start) + 1] + ("" if line_end < 0 else text[line_end + 1 :])


def _after_colon(text: str, key: yaml.Node) -> int:
    colon = _COLON.match(text, key.end_mark.index)
    if colon is None:
        raise _UnsupportedError
    return colon.end()


def _end(text: str, entry: tuple[yaml.Node, yaml.Node]) -> int:
    """Return the position after the last character of a value, without comments that follow."""
    key, node = entry
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last if isinstance(node, yaml.MappingNode) else (last, last))
    if node is not key and node.start_mark.index < key.end_mark.index:
        raise _UnsupportedError
    end = node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return len(text[:end].rstrip())
    return end if node is key else max(end, _after_colon(text, key))


def scalars(text: str) -> Iterator[yaml.ScalarNode]:
    """Yield every scalar of a YAML text once, with its position."""
    seen: set[int] = set()
    waiting: list[Any] = [yaml.compose(text, Loader=yaml.SafeLoader)]
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield node
        elif isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        else:
            waiting += node.value


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _flow(value: Any) -> str:
    """Encode a value as YAML on one line that is valid in every context."""
    listed: str = yaml.safe_dump([value], default_flow_style=True, width=1 << 30, allow_unicode=True, sort_keys=False)
    return listed.strip()[1:-1]
