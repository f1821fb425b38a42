"""Labels that people give to events, stored beside the lines."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.journal.store import JournalStore

_CLASS: Final = re.compile(r"\w[\w .-]*")


_NEAR: Final = 0.8


def last_event_line(store: JournalStore, event_id: str) -> dict[str, Any]:
    """The last line of an event.

    Raises:
        ConfigError: There is no such event.
    """
    query = "SELECT line FROM lines WHERE id = ? AND type IN ('start', 'update', 'end') ORDER BY seq DESC LIMIT 1"
    for (line,) in store.ask(query, event_id):
        found: dict[str, Any] = msgspec.json.decode(line)
        return found
    raise ConfigError(
        f"There is no event {event_id} in {store.path}. `soundwatch tail --type end --format json` shows events' ids."
    )


def parse_label(said: str, event: dict[str, Any], known: Sequence[str]) -> str | None:
    """What a person said an event was: `right`, `none`, or a class.

    Raises:
        ConfigError: It cannot name a class, or is a known one misspelt.
    """
    if said == "right":
        return str(event["class"])
    if said == "none":
        return None
    if not _CLASS.fullmatch(said):
        raise ConfigError(
            f"{said!r} cannot name a class: letters, digits, spaces, dots, dashes and underscores can, and a letter or "
            "digit comes first. Or say right, or none."
        )
    near = [] if said in known else difflib.get_close_matches(said, [*known, "right", "none"], n=1, cutoff=_NEAR)
    if near:
        raise ConfigError(f"{said} is no class so far; did you mean {near[0]}? Known: {', '.join(known)}.")
    return said


def known_classes(store: JournalStore) -> list[str]:
    """The classes that models have had, and those that people have named."""
    hellos = store.ask("SELECT line FROM lines WHERE type = 'hello' ORDER BY seq DESC LIMIT 20")
    named = store.ask("SELECT DISTINCT class FROM labels WHERE class IS NOT NULL")
    of_models = [label for (line,) in hellos for label in msgspec.json.decode(line)["classes"]]
    return sorted({*of_models, *(class_ for (class_,) in named)})
