"""Positions of scalars and comments in a YAML text, and the comments that a change would lose.

Conventions: the parser gives the positions of scalars; a `#` outside of them, after white space, begins a comment.
Comments that a change joins on one line count as present.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, Final

import yaml

_COMMENT: Final = re.compile(r"(?:(?<=\s)|^)#[^\r\n]*", re.MULTILINE)
_NEXT: Final = re.compile(r"\s+(?=#)")


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


def lost_comment(before: str, after: str, deleted: Collection[int]) -> int | None:
    """Return the number of the first line, from 1, whose comment a change loses; None if it keeps all.

    Args:
        before: The text before the change.
        after: The text after the change.
        deleted: Lines, from 0, that the change deletes with their comments.
    """
    left = Counter(text for _, text in _comments(after))
    for line, text in _comments(before):
        if line not in deleted:
            left[text] -= 1
            if left[text] < 0:
                return line + 1
    return None


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each comment, from 0, and its text."""
    outside = list(text)
    for node in scalars(text):
        start, end = node.start_mark.index, node.end_mark.index
        outside[start:end] = [letter if letter in "\r\n" else "x" for letter in text[start:end]]
    for found in _COMMENT.finditer("".join(outside)):
        for part in _NEXT.split(found[0]):
            yield text.count("\n", 0, found.start()), part.rstrip()
