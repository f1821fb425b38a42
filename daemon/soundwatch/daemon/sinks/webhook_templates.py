"""What a webhook's requests say: the line itself, a sentence for a chat service, or a file's own words.

Conventions: `$NAME` is an event's field; values are escaped for where they stand, since names of classes and sources
are data. A file whose name ends in `.json` is JSON and its placeholders stand inside strings, any other is plain text.
What a template makes is tried with an event of our own before the first real one.
Does not: post (`webhook.py`).
"""

from __future__ import annotations

import difflib
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.line_filter import Fields

JSON: Final = "application/json"
PLAIN: Final = "text/plain; charset=utf-8"
PLACEHOLDERS: Final = (
    *("text", "sound", "type", "seq", "id", "time", "node", "source", "class", "score", "peak_score"),
    *("level_dbfs", "onset", "offset", "duration_s", "reason", "model"),
)
SAMPLE: Final[Fields] = dict.fromkeys(PLACEHOLDERS) | {
    "type": "start",
    "class": "dog_bark",
    "source": 'a "b" \\',
    "onset": "",
}


@dataclass(frozen=True, slots=True)
class BodyTemplate:
    """What makes a request's body.

    Attributes:
        template: Its words; None for the line as it is.
        content_type: What it is.
        escape: Makes a value fit where it stands.
    """

    template: string.Template | None
    content_type: str
    escape: Callable[[str], str]

    def render(self, entry: JournalEntry, fields: Fields) -> bytes:
        """The body for a line."""
        if self.template is None:
            return entry.marked.rstrip(b"\n")
        values = {key: self.escape(value) for key, value in _values(fields).items()}
        return self.template.substitute(values).encode()


def load_template(template: str) -> BodyTemplate:
    """A template by its name, or from its file.

    Raises:
        ConfigError: It has an unknown placeholder, or makes no JSON.
        SinkError: The file cannot be read.
    """
    if template in _BUILT_IN:
        return _BUILT_IN[template]
    path = Path(template).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        known = ", ".join(_BUILT_IN)
        raise SinkError(f"The template {template} is none of {known}, nor a file: {error.strerror}.") from error
    is_json = path.suffix == ".json"
    body = BodyTemplate(string.Template(text), JSON if is_json else PLAIN, _in_json if is_json else str)
    _try(body, template)
    return body


def _try(body: BodyTemplate, name: str) -> None:
    """Make a body of an event of our own.

    Raises:
        ConfigError: It cannot be made.
    """
    try:
        made = body.render(JournalEntry(1, b""), SAMPLE)
        if body.content_type == JSON:
            msgspec.json.decode(made)
    except KeyError as error:
        key = str(error.args[0])
        near = difflib.get_close_matches(key, PLACEHOLDERS, n=1)
        hint = f"did you mean ${near[0]}? " if near else ""
        known = ", ".join(f"${each}" for each in PLACEHOLDERS)
        raise ConfigError(f"The template {name}: ${key} is no placeholder; {hint}known: {known}.") from None
    except ValueError as error:
        raise ConfigError(
            f"The template {name} makes no {'JSON' if body.content_type == JSON else 'text'} of an event: {error}. "
            "Placeholders stand inside strings; $$ is a dollar sign."
        ) from None


def _values(fields: Fields) -> Mapping[str, str]:
    """Each placeholder's value as text; of lines that have no such field it is empty."""
    values = {key: "" if fields.get(key) is None else str(fields[key]) for key in PLACEHOLDERS}
    sound = values["class"].replace("_", " ")
    return values | {"sound": sound, "text": _sentence(sound, values)}


def _sentence(sound: str, values: Mapping[str, str]) -> str:
    """A line for people."""
    where = f"{values['source']} ({values['node']})" if values["source"] else values["node"]
    if values["type"] == "end":
        return f"{sound} at {where} is over after {values['duration_s']} s"
    if sound:
        return f"{sound} at {where} since {values['onset'][11:19]} UTC, score {values['score']}"
    return f"{values['type']} of {where}"


def _in_json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]


def _in_slack(text: str) -> str:
    return _in_json(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


_BUILT_IN: Final = {
    "json": BodyTemplate(None, JSON, str),
    "slack": BodyTemplate(string.Template('{"text": "$text"}'), JSON, _in_slack),
    "discord": BodyTemplate(string.Template('{"content": "$text", "allowed_mentions": {"parse": []}}'), JSON, _in_json),
    "ntfy": BodyTemplate(string.Template("$text"), PLAIN, str),
}
