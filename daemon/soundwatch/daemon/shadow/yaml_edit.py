"""Sets a value in a YAML file and leaves every other byte of it as it is: comments, order, quotes, line ends.

Conventions: the parser says where a value stands in the text, and only that is replaced. Whoever calls this reads what
came out and holds it against what was meant: there are ways of writing YAML (anchors, blocks of text) that this is not
made for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import yaml

from soundwatch.daemon.core.atomic_file import replace_file
from soundwatch.daemon.core.errors import ConfigError


def set_yaml_value(text: str, section: str, key: str, value: str) -> str:
    """The text, with a string as value of `section.key`, which may or may not be there."""
    written, newline = _written(value), "\r\n" if "\r\n" in text else "\n"
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    holder = _value_of(root, section)
    if holder is None:
        start = "" if not text or text.endswith("\n") else newline
        return f"{text}{start}{newline}{section}:{newline}  {key}: {written}{newline}"
    there = _value_of(holder, key)
    if there is not None:
        return _put(text, there.start_mark.index, there.end_mark.index, written)
    first, last = holder.start_mark.index, holder.end_mark.index
    if not isinstance(holder, yaml.MappingNode):  # null, which may be written as nothing at all
        return _put(text, first, last, f"{' ' if first == last else ''}{{{key}: {written}}}")
    if holder.flow_style:
        return _put(text, first + 1, first + 1, f"{key}: {written}{', ' if holder.value else ''}")
    return _put(text, first, first, f"{key}: {written}{newline}{' ' * holder.start_mark.column}")


def write_atomically(path: Path, content: bytes, check: Callable[[Path], None] = lambda _: None) -> None:
    """Give a file other content, all at once; its owner and its mode stay.

    Args:
        path: The file, or a link to it.
        content: The content.
        check: Called with a file of that content in the same folder, before it takes the place of the old one.

    Raises:
        ConfigError: It cannot be written.
    """
    real = path.resolve()

    def write(part: Path) -> None:
        before = real.stat()
        with part.open("wb") as file:
            if os.name == "posix":
                if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), before.st_mode & 0o7777)
            file.write(content)
        check(part)

    try:
        replace_file(real, write, mode=0o600)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be changed: {error.strerror}. Call this as a user who may write to it and its folder."
        ) from error


def _value_of(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _written(value: str) -> str:
    """A string as YAML has it in any place."""
    listed: str = yaml.safe_dump([value], default_flow_style=True, width=1 << 30, allow_unicode=True)
    return listed.strip()[1:-1]


def _put(text: str, first: int, last: int, written: str) -> str:
    return text[:first] + written + text[last:]
