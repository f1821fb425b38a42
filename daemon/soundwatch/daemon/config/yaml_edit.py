"""Changes values in a YAML file without changing any other byte: comments, order, quotes, line ends, byte order mark.

Conventions: a key's path is the names of the keys from the top. The parser gives the position of each value in the
text, and only those characters are replaced. The result is parsed and compared with the intended tree.
Rule: YAML syntax that cannot be changed in place (an alias, a tag) is refused; the file is never rewritten as a whole.
A change that would lose a comment is refused, apart from the comments of a deleted key or item.
Does not: write files (`core/files/atomic_file.py`) or know which keys exist (`config/config.py`).
Source: a round trip of ruamel.yaml 0.19 moves the comment over the next section into the changed one, and deletes it
with the last key of a section; hence the positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from functools import partial
from typing import Any, Final

import yaml

from soundwatch.daemon.config.file import parse_yaml
from soundwatch.daemon.config.yaml_marks import lost_comment
from soundwatch.daemon.core.errors import ConfigError

KeyPath = tuple[str, ...]
_Path = tuple[str | int, ...]  # with numbers of items
_BOM: Final = "\ufeff"
_COLON: Final = re.compile(r"\s*:")


def edit_yaml(text: str, changes: Mapping[KeyPath, Any], removed: Iterable[KeyPath] = ()) -> str:
    """Return a text with other values of some keys; missing keys are added.

    Args:
        text: The text of a YAML file.
        changes: New values.
        removed: Keys to delete; a key that is not there is ignored.

    Raises:
        ConfigError: The text uses YAML syntax that cannot be changed in place, or a comment would be lost.
    """
    removed = tuple(removed)
    mark, body = (text[:1], text[1:]) if text.startswith(_BOM) else ("", text)
    tree = parse_yaml(body.encode(), "the text")
    intended = _intended({} if tree is None else tree, changes, removed)
    edits = [(path, partial(_without, path=path)) for path in removed]
    edits += [(path, partial(_with, path=path, value=value)) for path, value in changes.items()]
    lost: dict[KeyPath, int] = {}
    try:
        for path, edit in edits:
            former, (body, deleted) = body, edit(body)
            if (line := lost_comment(former, body, deleted)) is not None:
                lost[path] = line
        result = parse_yaml(body.encode(), "the result")
    except (_UnsupportedError, yaml.YAMLError, ConfigError):
        result = None
    if ({} if result is None else result) != intended or (result is None and intended):
        raise ConfigError(
            f"The file uses YAML syntax that cannot be changed in place, such as an anchor, at "
            f"{' or '.join('.'.join(path) for path, _ in edits)}. Change the file by hand."
        )
    for path, line in lost.items():
        raise ConfigError(
            f"The change of {'.'.join(path)} would lose the comment in line {line}. Change the file by hand, or move "
            "the comment above the key."
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


def _entries(text: str, path: _Path) -> tuple[list[tuple[yaml.Node, yaml.Node]], yaml.Node | None]:
    """Return key and value along a path as far as they exist, and the node of the whole text."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    found: list[tuple[yaml.Node, yaml.Node]] = []
    node = root
    for name in path:
        if isinstance(name, int) and isinstance(node, yaml.SequenceNode):
            node = node.value[name]
            found.append((node, node))
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        entry = next(((key, value) for key, value in pairs if key.value == name), None)
        if entry is None:
            break
        if entry[1].start_mark.index < entry[0].end_mark.index:  # an alias; its node is elsewhere
            raise _UnsupportedError
        found.append(entry)
        node = entry[1]
    return found, root


def _with(text: str, path: _Path, value: Any) -> tuple[str, set[int]]:
    """Return a text with another value, and the lines that were deleted."""
    found, root = _entries(text, path)
    if len(found) == len(path):
        node = found[-1][1]
        if isinstance(node, yaml.SequenceNode) and not node.flow_style and isinstance(value, list) and value:
            return _edited_list(text, path, node, value)
        return _replaced(text, *found[-1], value), set()
    parent = found[-1][1] if found else root
    rest = tuple(map(str, path[len(found) :]))
    if isinstance(parent, yaml.MappingNode):
        return _inserted(text, parent, rest, value, top=not found), set()
    if parent is None:
        start = text if not text or text.endswith("\n") else text + _newline(text)
        return start + _block(rest, value, "", _newline(text)) + _newline(text), set()
    if not found:
        raise _UnsupportedError
    for name in reversed(rest):
        value = {name: value}
    return _replaced(text, *found[-1], value), set()


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


def _value_at(text: str, path: _Path) -> Any:
    value = parse_yaml(text.encode(), "the text")
    for key in path:
        value = value[key]
    return value


def _edited_list(text: str, path: _Path, node: yaml.SequenceNode, value: list[Any]) -> tuple[str, set[int]]:
    """Replace, delete and insert items of a list in block style, so that the others keep their comments.

    Returns:
        The text, and the lines that were deleted.
    """
    old, newline, indent = _value_at(text, path), _newline(text), " " * node.start_mark.column
    deleted = set[int]()
    matcher = SequenceMatcher(None, [_flow(item) for item in old], [_flow(item) for item in value], autojunk=False)
    for tag, first, last, new_first, new_last in reversed(matcher.get_opcodes()):
        if tag == "equal":
            continue
        both = min(last - first, new_last - new_first)
        added = [f"{indent}- {_flow(item)}" for item in value[new_first + both : new_last]]
        at = _line_start(text, node.value[last]) if last < len(old) else _next_line(text, node.value[-1])
        if added:
            start = text[:at] if text[:at].endswith("\n") else text[:at] + newline
            text = start + newline.join(added) + newline + text[at:]
        for number in reversed(range(first + both, last)):
            item = node.value[number]
            begin, end = _line_start(text, item), _next_line(text, item)
            if old[number] not in value:  # an item that moves would leave its comment behind
                deleted |= set(range(item.start_mark.line, text.count("\n", 0, end - 1) + 1))
            text = text[:begin] + text[end:]
        for number in reversed(range(both)):
            text = _with_item(text, (*path, first + number), node.value[first + number], value[new_first + number])
    return text, deleted


def _with_item(text: str, path: _Path, item: yaml.Node, value: Any) -> str:
    """Replace an item of a list; values of a mapping in block style are replaced one by one."""
    old = _value_at(text, path)
    if isinstance(item, yaml.MappingNode) and not item.flow_style and isinstance(value, dict):
        if old.keys() == value.keys():
            for key, inner in value.items():
                text = text if old[key] == inner else _with(text, (*path, key), inner)[0]
            return text
        pairs = list(zip(item.value, old.items(), value.items(), strict=False))
        if len(old) == len(value) and all(former[1] == present[1] for _, former, present in pairs):  # other names
            for (key, _), _, (name, _) in reversed(pairs):
                text = text[: key.start_mark.index] + _flow(name) + text[key.end_mark.index :]
            return text
    return f"{text[: item.start_mark.index]}{_flow(value)}{text[_end(text, (item, item)) :]}"


def _line_start(text: str, node: yaml.Node) -> int:
    return text.rfind("\n", 0, node.start_mark.index) + 1


def _next_line(text: str, node: yaml.Node) -> int:
    """Return the position after the last line of a value."""
    return (text.find("\n", _end(text, (node, node))) + 1) or len(text)


def _without(text: str, path: KeyPath) -> tuple[str, set[int]]:
    """Delete a key, with the comments on its lines; a mapping that loses its only key becomes `{}`.

    Returns:
        The text, and the lines that were deleted.
    """
    found, root = _entries(text, path)
    if len(found) < len(path):
        return text, set()
    key, node = found[-1]
    parent = found[-2][1] if len(found) > 1 else root
    assert isinstance(parent, yaml.MappingNode)
    start, end = key.start_mark.index, _end(text, (key, node))
    lines = set(range(key.start_mark.line, text.count("\n", 0, end) + 1))
    if len(parent.value) == 1 and len(found) > 1:
        return _replaced(text, *found[-2], {}), lines
    if parent.flow_style:
        after = re.compile(r"\s*,\s*").match(text, end)
        if after is not None:
            return text[:start] + text[after.end() :], set()
        return text[:start].rstrip().removesuffix(",") + text[end:], set()
    line_end = text.find("\n", end)
    return text[: text.rfind("\n", 0, start) + 1] + ("" if line_end < 0 else text[line_end + 1 :]), lines


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


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _flow(value: Any) -> str:
    """Encode a value as YAML on one line that is valid in every context."""
    listed: str = yaml.safe_dump([value], default_flow_style=True, width=1 << 30, allow_unicode=True, sort_keys=False)
    return listed.strip()[1:-1]
