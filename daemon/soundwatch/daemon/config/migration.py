"""Former names in configuration files, and their present ones.

Conventions: a former name is accepted until the version that its description names. No key of the file was ever renamed
or removed, only options of sinks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from soundwatch.daemon.config.yaml_edit import KeyPath

FORMER_OPTIONS: Final = {"command": {"at_once": "max_parallel"}}


def former_names(tree: Any) -> Iterator[tuple[KeyPath, str, str]]:
    """Yield the key, the former and the present name of each option that was renamed."""
    for path, items in _lists(tree):
        for item in items:
            for former, present in _renamed(item).items():
                yield path, former, present


def migrated(tree: Any) -> dict[KeyPath, Any]:
    """Return the new value of each key that has a former name."""
    return {path: [_present(item) for item in items] for path, items in _lists(tree) if any(map(_renamed, items))}


def _lists(tree: Any) -> Iterator[tuple[KeyPath, list[Any]]]:
    """Yield the lists of sinks of a file: those of all events, and those of each rule."""
    if not isinstance(tree, dict):
        return
    if isinstance(tree.get("sinks"), list):
        yield ("sinks",), tree["sinks"]
    rules = tree.get("rules")
    for name, rule in rules.items() if isinstance(rules, dict) else ():
        then = rule.get("then") if isinstance(rule, dict) else None
        if isinstance(then, dict) and isinstance(then.get("send"), list):
            yield ("rules", str(name), "then", "send"), then["send"]


def _renamed(item: Any) -> dict[str, str]:
    """Return the former options of a sink, each with its present name."""
    text = item.get("sink") if isinstance(item, dict) else item
    options = FORMER_OPTIONS.get(str(text).partition(":")[0], {})
    names = item if isinstance(item, dict) else re.findall(r",([a-z][a-z0-9_]*)=", str(item))
    return {former: present for former, present in options.items() if former in names}


def _present(item: Any) -> Any:
    renamed = _renamed(item)
    if isinstance(item, dict):
        return {renamed.get(key, key): value for key, value in item.items()}
    for former, present in renamed.items():
        item = item.replace(f",{former}=", f",{present}=")
    return item
