"""The lines of a configuration file that a change deletes and adds, without secrets.

Conventions: no line is shown that does not differ, since a comment may hold a former password.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from soundwatch.daemon.config.change import DiffLine
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.yaml_marks import scalars
from soundwatch.daemon.core.network.redact import redact_text, redacted_config


def shown_diff(before: str, after: str, configs: tuple[Config, Config]) -> list[DiffLine]:
    """Compare two texts line by line.

    Args:
        before: The former text.
        after: The new text.
        configs: The configurations that they give.
    """
    hidden = {secret: shown for config in configs for secret, shown in _secrets(config)}
    old, new = (_masked(text, hidden).splitlines() for text in (before, after))
    lines: list[DiffLine] = []
    for tag, first, last, new_first, new_last in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        lines += [DiffLine(number + 1, "deleted", redact_text(old[number])) for number in range(first, last)]
        lines += [DiffLine(number + 1, "added", redact_text(new[number])) for number in range(new_first, new_last)]
    return lines


def _secrets(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each value that may not be shown, and what is shown instead."""
    yield from _differences(msgspec.to_builtins(config), redacted_config(config))


def _differences(value: Any, shown: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _differences(inner, shown[key] if isinstance(shown, dict) else shown)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _differences(inner, shown[number] if isinstance(shown, list) else shown)
    elif value != shown:
        yield str(value), str(shown)


def _masked(text: str, hidden: Mapping[str, str]) -> str:
    """Replace the values that may not be shown, at their positions in the text."""
    found = [node for node in scalars(text) if node.value in hidden]
    for node in sorted(found, key=lambda node: node.start_mark.index, reverse=True):
        text = text[: node.start_mark.index] + hidden[node.value] + text[node.end_mark.index :]
    return text
