"""Sets a value in a YAML file without changing any other byte: comments, order, quotes, line ends.

Conventions: the parser gives the position of a value in the text, and only those characters are replaced. The caller
parses the result and compares it with the intended configuration, since some YAML syntax (anchors, block scalars) is
not supported.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import yaml

from soundwatch.daemon.core.atomic_file import replace_file
from soundwatch.daemon.core.errors import ConfigError


def set_yaml_value(text: str, section: str, key: str, value: str) -> str:
    """Return the text with a string as the value of `section.key`; missing keys are added."""
    scalar, newline = _flow_scalar(value), "\r\n" if "\r\n" in text else "\n"
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    mapping = _value_node(root, section)
    if mapping is None:
        start = "" if not text or text.endswith("\n") else newline
        return f"{text}{start}{newline}{section}:{newline}  {key}: {scalar}{newline}"
    present = _value_node(mapping, key)
    if present is not None:
        return _replaced(text, present.start_mark.index, present.end_mark.index, scalar)
    first, last = mapping.start_mark.index, mapping.end_mark.index
    if not isinstance(mapping, yaml.MappingNode):  # null, which may be written as an empty text
        return _replaced(text, first, last, f"{' ' if first == last else ''}{{{key}: {scalar}}}")
    if mapping.flow_style:
        return _replaced(text, first + 1, first + 1, f"{key}: {scalar}{', ' if mapping.value else ''}")
    return _replaced(text, first, first, f"{key}: {scalar}{newline}{' ' * mapping.start_mark.column}")


def write_atomically(path: Path, content: bytes, check: Callable[[Path], None] = lambda _: None) -> None:
    """Replace the content of a file atomically; keep its owner and mode.

    Args:
        path: The file, or a link to it.
        content: The new content.
        check: Called with a temporary file of that content in the same folder, before it replaces the file.

    Raises:
        ConfigError: The file cannot be written.
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
            f"{path} cannot be changed: {error.strerror}. Run this command as a user with write permission for the "
            "file and its folder."
        ) from error


def _value_node(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _flow_scalar(value: str) -> str:
    """Encode a string as a YAML scalar that is valid in every context."""
    listed: str = yaml.safe_dump([value], default_flow_style=True, width=1 << 30, allow_unicode=True)
    return listed.strip()[1:-1]


def _replaced(text: str, first: int, last: int, scalar: str) -> str:
    return text[:first] + scalar + text[last:]
