"""Bodies of a webhook's requests: the line itself, a sentence for a chat service, or a template file.

Conventions: `$NAME` is a field of the event; values are escaped for their place, since names of classes and sources are
data. A file whose name ends in `.json` is JSON and its placeholders stand inside strings; any other file is plain text.
A template is tried with a sample event before the first real one. Times for people have a zone, and a date unless it
is today's.
Does not: post (`sinks/webhook/sink.py`).
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Final

import msgspec

from soundwatch.daemon.config.place import load_time_zone
from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.paths import expand_path
from soundwatch.daemon.core.languages.language import Language, number_text, sound_name, translated
from soundwatch.daemon.core.text.messages import unknown_placeholder
from soundwatch.daemon.core.time.system_zone import SYSTEM_ZONE
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.line_filter import Fields

JSON: Final = "application/json"
PLAIN: Final = "text/plain; charset=utf-8"
PLACEHOLDERS: Final = (
    *("text", "sound", "when", "type", "seq", "id", "time", "node", "source", "class", "score", "peak_score"),
    *("level_dbfs", "onset", "offset", "duration_s", "reason", "model", "continues"),
)
SAMPLE: Final[Fields] = dict.fromkeys(PLACEHOLDERS) | {
    "type": "start",
    "class": "dog_bark",
    "source": 'a "b" \\',
    "time": "2026-11-22T08:15:02.418Z",
    "onset": "2026-11-22T08:15:02.418Z",
}


@dataclass(frozen=True, slots=True)
class BodyTemplate:
    """A template of a request's body.

    Attributes:
        template: Text of the template; None for the line as it is.
        content_type: Type of the content.
        escape: Escapes a value for its place.
        is_chat: Whether people read it; then a line that only continues an event is omitted.
        zone: Zone of times for people.
        language: Language of texts for people.
    """

    template: string.Template | None
    content_type: str
    escape: Callable[[str], str]
    is_chat: bool = False
    zone: tzinfo = UTC
    language: Language = "en"

    def omits(self, fields: Fields) -> bool:
        """Return whether a line only continues an event that was posted before; a rule has decided for its lines."""
        return self.is_chat and "rule" not in fields and fields.get("continues") is not None

    def render(self, entry: JournalEntry, fields: Fields, now_unix_s: float) -> bytes:
        """Return the body for a line."""
        if self.template is None:
            return entry.encoded.rstrip(b"\n")
        now = datetime.fromtimestamp(now_unix_s, UTC).astimezone(self.zone)
        values = {key: self.escape(value) for key, value in template_values(fields, now, self.language).items()}
        return self.template.substitute(values).encode()


def load_template(template: str, time_zone: str = "UTC", language: Language = "en") -> BodyTemplate:
    """Return a built-in template, or read a file.

    Raises:
        ConfigError: The time zone or a placeholder is unknown, or the template makes no JSON.
        SinkError: The file cannot be read.
    """
    zone = parse_time_zone(time_zone)
    if template in _BUILT_IN:
        return replace(_BUILT_IN[template], zone=zone, language=language)
    path = expand_path(template)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        text = f"The template {template} is none of {', '.join(_BUILT_IN)}, nor a file: {error.strerror}."
        if path.name == template and not path.suffix:  # a name, not a path
            raise ConfigError(text) from error
        raise SinkError(text) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The template {template} is no text in UTF-8.") from error
    is_json = path.suffix == ".json"
    body = BodyTemplate(
        string.Template(text), JSON if is_json else PLAIN, _in_json if is_json else str, zone=zone, language=language
    )
    _try(body, template)
    return body


def parse_time_zone(name: str) -> tzinfo:
    """Return a time zone.

    Raises:
        ConfigError: The name is unknown.
    """
    if name == "local":
        return SYSTEM_ZONE
    if name == "UTC":
        return UTC
    try:
        return load_time_zone(name)
    except ValueError as error:
        raise ConfigError(
            f"time_zone: {name} is no time zone of this system; UTC, local, or a name like Europe/Berlin was expected."
        ) from error


def _try(body: BodyTemplate, name: str) -> None:
    """Make a body of a sample event.

    Raises:
        ConfigError: The body cannot be made.
    """
    try:
        made = body.render(JournalEntry(1, b""), SAMPLE, 0.0)
        if body.content_type == JSON:
            msgspec.json.decode(made)
    except KeyError as error:
        raise ConfigError(f"The template {name}: {unknown_placeholder(str(error.args[0]), PLACEHOLDERS)}") from None
    except ValueError as error:
        raise ConfigError(
            f"The template {name} makes no {'JSON' if body.content_type == JSON else 'text'} of an event: {error}. "
            "Placeholders stand inside strings; $$ is a dollar sign."
        ) from None


def template_values(fields: Fields, now: datetime, language: Language = "en") -> Mapping[str, str]:
    """Return each placeholder's value as text; a field that the line lacks is empty."""
    values = {key: "" if fields.get(key) is None else str(fields[key]) for key in PLACEHOLDERS}
    sound = sound_name(values["class"], language)
    when = time_text((values["offset"] if values["type"] == "end" else values["onset"]) or values["time"], now)
    return values | {
        "sound": sound,
        "when": when,
        "text": fields.get("body") or _sentence(sound, values, when, language),
    }


def time_text(time: str, now: datetime) -> str:
    """Return a time for people in the zone of `now`: with its zone, and with its date unless it is today's."""
    local = datetime.fromisoformat(time).astimezone(now.tzinfo)
    date = "" if local.date() == now.date() else f"{local:%Y-%m-%d} "
    return f"{date}{local:%H:%M:%S} {local:%Z}"


def _sentence(sound: str, values: Mapping[str, str], when: str, language: Language) -> str:
    """Return a sentence for people."""
    where = f"{values['source']} ({values['node']})" if values["source"] else values["node"]
    if values["type"] == "end":
        return translated(
            "{sound} at {where} ended {when} after {duration_s} s",
            language,
            sound=sound,
            where=where,
            when=when,
            duration_s=number_text(values["duration_s"], language),
        )
    if sound:
        return translated(
            "{sound} at {where} since {when}, score {score}",
            language,
            sound=sound,
            where=where,
            when=when,
            score=number_text(values["score"], language),
        )
    return translated("{type} of {where}, {when}", language, type=values["type"], where=where, when=when)


def _in_json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]


def _in_slack(text: str) -> str:
    return _in_json(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


_BUILT_IN: Final = {
    "json": BodyTemplate(None, JSON, str),
    "slack": BodyTemplate(string.Template('{"text": "$text"}'), JSON, _in_slack, is_chat=True),
    "discord": BodyTemplate(
        string.Template('{"content": "$text", "allowed_mentions": {"parse": []}}'), JSON, _in_json, is_chat=True
    ),
    "ntfy": BodyTemplate(string.Template("$text"), PLAIN, str, is_chat=True),
}
