"""Labels that people give to events, in the table `labels` of the journal."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract_text import is_class_name, shown
from soundwatch.daemon.journal.queries.query import model_classes
from soundwatch.daemon.journal.store import JournalStore

_NEAR: Final = 0.8


def last_event_line(store: JournalStore, event_id: str) -> dict[str, Any]:
    """Return the last line of an event.

    Raises:
        ConfigError: The journal has no such event.
    """
    query = "SELECT line FROM lines WHERE id = ? AND type IN ('start', 'update', 'end') ORDER BY seq DESC LIMIT 1"
    for (line,) in store.query(query, event_id) if event_id.isascii() else ():
        found: dict[str, Any] = msgspec.json.decode(line)
        return found
    raise ConfigError(
        f"There is no event {event_id} in {store.path}. `soundwatch tail --type end --format json` shows events' ids."
    )


def all_labels(store: JournalStore) -> list[tuple[str, str | None]]:
    """Return the id and the class of every labeled event, by id; None stands for no class."""
    return [(event_id, class_) for event_id, class_ in store.query("SELECT id, class FROM labels ORDER BY id")]


def delete_label(store: JournalStore, event_id: str) -> None:
    """Remove the label of an event.

    Raises:
        sqlite3.Error: The file cannot be written.
    """
    store.transaction(lambda db: db.execute("DELETE FROM labels WHERE id = ?", (event_id,)))


def set_label(store: JournalStore, event_id: str, time: str, class_: str | None) -> None:
    """Store the class of an event; None stands for no class.

    Raises:
        sqlite3.Error: The file cannot be written.
    """
    store.transaction(lambda db: db.execute("INSERT OR REPLACE INTO labels VALUES (?, ?, ?)", (event_id, time, class_)))


def parse_label(text: str, event: dict[str, Any], known: Sequence[str]) -> str | None:
    """Parse a label of an event: `right`, `none`, or a class; None stands for no class.

    Raises:
        ConfigError: The text cannot name a class, or is close to a known class.
    """
    if text == "right":
        return str(event["class"])
    if text == "none":
        return None
    if not is_class_name(text):
        raise ConfigError(
            f"{shown(text)} cannot name a class: letters, digits, spaces, dots, dashes and underscores can, and a "
            "letter or digit comes first, in at most 255 bytes. Or use right, or none."
        )
    near = [] if text in known else difflib.get_close_matches(text, [*known, "right", "none"], n=1, cutoff=_NEAR)
    if near:
        raise ConfigError(f"{text} is no class so far; did you mean {near[0]}? Known: {', '.join(known)}.")
    return text


def known_classes(store: JournalStore) -> list[str]:
    """Return the classes of models and of labels."""
    named = store.query("SELECT DISTINCT class FROM labels WHERE class IS NOT NULL")
    return sorted(model_classes(store).union(class_ for (class_,) in named))
