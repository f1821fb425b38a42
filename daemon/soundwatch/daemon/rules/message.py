"""Title and text of a message, from the templates of a rule.

Conventions: `$NAME` is a field of the line, as in a webhook's template file (`sinks/webhook/templates.py`), and also
`$rule`, `$fault`, `$state` and `$detail`. Times for people have a zone, and a date unless it is today's.
Does not: send (`rules/sink.py`).
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.config.rules import RuleConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.languages.language import Language, in_language, sound_name, translated
from soundwatch.daemon.core.text.messages import unknown_placeholder
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.rules.clip_wait import DueMessage
from soundwatch.daemon.sinks.webhook.templates import PLACEHOLDERS, SAMPLE, template_values, time_text

RULE_PLACEHOLDERS: Final = (*PLACEHOLDERS, "state", "detail", "fault", "rule")
NAMED_SOUNDS: Final = 5  # in a message that stands for several


@dataclass(frozen=True, slots=True)
class Message:
    """A message that a rule sends.

    Attributes:
        rule: Name of the rule.
        title: Title.
        body: Text.
        seq: Number of the line.
        line: The line, JSON, ended by a newline.
        clip_path: Path of the clip; None for none.
        merged: Number of messages that this one stands for.
    """

    rule: str
    title: str
    body: str
    seq: int
    line: bytes
    clip_path: str | None = None
    merged: int = 1

    @property
    def extended_line(self) -> bytes:
        """The line with the message's own keys, as sinks get it."""
        own: dict[str, Any] = {"rule": self.rule, "title": self.title, "body": self.body, "merged": self.merged}
        if self.clip_path is not None:
            own["clip"] = self.clip_path
        return self.line[:-2] + b"," + msgspec.json.encode(own)[1:] + b"\n"


def make_message(
    rule: RuleConfig, due: DueMessage, line: bytes, place: PlaceConfig, now_unix_s: float, digest: str = ""
) -> Message:
    """Return the message about one line, or with a digest."""
    now = local_time(place, now_unix_s)
    fields = msgspec.json.decode(line)
    values = _values(fields, due.rule, due.facts.fault, now, place.language)
    if rule.when.digest is not None:
        values |= {"sound": _digest_title(rule.when.digest.period, place.language), "text": digest}
    body = string.Template(rule.then.body).substitute(values)
    if due.clip_fault:
        body += f" ({in_language(due.clip_fault, place.language)})"
    title = string.Template(rule.then.title).substitute(values)
    return Message(due.rule, title, body, due.facts.seq, line, due.clip_path)


def merge_messages(
    late: Sequence[DueMessage], ends: Sequence[tuple[DueMessage, bytes]], place: PlaceConfig, now_unix_s: float
) -> Message:
    """Return one message that stands for several late ones.

    Args:
        late: The messages, at least one.
        ends: The first and the last of them, with their lines.
        place: Place of the machine.
        now_unix_s: The present time.
    """
    now = local_time(place, now_unix_s)
    language = place.language
    sounds = Counter(due.facts.class_ or due.facts.fault or "" for due in late).most_common()
    named = translated(", ", language).join(
        f"{sound_name(sound, language)} {count}" for sound, count in sounds[:NAMED_SOUNDS]
    )
    more = translated(", and others", language) if len(sounds) > NAMED_SOUNDS else ""
    times = [time_text(format_utc(due.facts.unix_ns), now) for due, _ in ends]
    when = times[0] if len(late) == 1 else translated("{first} to {last}", language, first=times[0], last=times[-1])
    body = translated(
        "{n} messages could not be sent in time ({when}): {sounds}",
        language,
        n=len(late),
        when=when,
        sounds=f"{named}{more}",
    )
    last, line = ends[-1]
    return Message(
        last.rule,
        translated("{rule}: late messages", language, rule=last.rule),
        body,
        last.facts.seq,
        line,
        merged=len(late),
    )


def sample_message(name: str, rule: RuleConfig, line: bytes, place: PlaceConfig, now_unix_s: float) -> Message:
    """Return a message for a test, with a line of the caller's."""
    now = local_time(place, now_unix_s)
    values = _values(msgspec.json.decode(line), name, None, now, place.language)
    if rule.when.digest is not None:
        values |= {"sound": _digest_title(rule.when.digest.period, place.language), "text": "..."}
    title, body = (string.Template(text).substitute(values) for text in (rule.then.title, rule.then.body))
    title = translated("Test: {title}", place.language, title=title)
    body = translated("Test of the rule {rule}: {body}", place.language, rule=name, body=body)
    return Message(name, title, body, 0, line)


def check_templates(name: str, rule: RuleConfig) -> None:
    """Refuse an unknown placeholder.

    Raises:
        ConfigError: A placeholder is unknown or malformed.
    """
    values = dict.fromkeys(RULE_PLACEHOLDERS, "") | dict(template_values(SAMPLE, datetime.now(UTC)))
    for key, text in (("title", rule.then.title), ("body", rule.then.body)):
        where = f"rules.{name}.then.{key}"
        try:
            string.Template(text).substitute(values)
        except KeyError as error:
            raise ConfigError(f"{where}: {unknown_placeholder(str(error.args[0]), RULE_PLACEHOLDERS)}") from None
        except ValueError as error:
            raise ConfigError(f"{where}: {error}. A dollar sign is written $$.") from None


def _values(fields: dict[str, Any], rule: str, fault: str | None, now: datetime, language: Language) -> dict[str, str]:
    """Return the value of each placeholder."""
    values = dict(template_values(fields, now, language))
    for key in ("state", "detail"):
        values[key] = "" if fields.get(key) is None else str(fields[key])
    values |= {"rule": rule, "fault": sound_name(fault or "", language)}
    if fault is not None:
        what = (
            values["detail"]
            or ", ".join(sound_name(name, language) for name in fields.get("faults") or ())
            or values["fault"]
        )
        where = f"{values['source']} ({values['node']})" if values["source"] else values["node"]
        text = translated(
            "{fault} at {where}, {when}: {what}",
            language,
            fault=values["fault"],
            where=where,
            when=values["when"],
            what=what,
        )
        values |= {"sound": values["fault"], "text": text}
    return values


def _digest_title(period: Literal["day", "week"], language: Language) -> str:
    return translated("digest of the week", language) if period == "week" else translated("digest of the day", language)


def local_time(place: PlaceConfig, unix_s: float) -> datetime:
    """Return a time in the zone of a place, or in that of the system."""
    return datetime.fromtimestamp(unix_s, UTC).astimezone(place.zone)
