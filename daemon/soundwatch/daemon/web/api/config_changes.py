"""Settings of the configuration file for the API: the keys with their texts and values, and changes.

Conventions: a key is written as in the documentation, `detection.classes.siren.threshold`; a name that contains a dot
is quoted, `sources."yard.left".device`. Secrets are hidden, and a hidden one cannot be written back.
Rule: a change needs a token, also on loopback, and the tag of the content that it was made for (If-Match).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from soundwatch.daemon.config.change import ConfigBusyError, ConfigConflictError, ConfigContent
from soundwatch.daemon.config.keys import ANY, ConfigKey, Kind, config_keys, is_protected
from soundwatch.daemon.config.yaml_edit import KeyPath
from soundwatch.daemon.core.errors import ConfigError, SoundwatchError
from soundwatch.daemon.core.languages.language import Language, Sentence, error_text, in_language
from soundwatch.daemon.core.network.redact import redact_text, redacted_config
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.web.http.refusal import RequestRefused

Key = Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\x00]*$")]
_PART: Final = re.compile(r'"([^"]+)"|([^."]+)')
_KEY: Final = re.compile(r'(?:"[^"]+"|[^."]+)(?:\.(?:"[^"]+"|[^."]+))*')
LOGIN_NEEDED: Final = Sentence(
    "Settings can be changed only with a token. Add ,token_file=FILE to the page's address, or set SOUNDWATCH_TOKEN, "
    "restart soundwatch and log in."
)


class KeyResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One key: its meaning, its default, its value in the file, and the kind of input that fits.

    `origin` is `file`, or `default` for a key that the file does not have.
    """

    key: str
    text: str
    values: str
    kind: Kind
    choices: tuple[Any, ...]
    nullable: bool
    default: Any
    value: Any
    origin: Literal["file", "default"]
    editable: bool


class KeysResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All keys of the configuration file; `problem` is the reason why none can be changed, null if they can."""

    path: str | None
    tag: str | None
    problem: str | None
    keys: tuple[KeyResponse, ...]


class ChangeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New values by key, keys to delete, and `dry_run` to write nothing."""

    changes: dict[Key, Any] = {}
    remove: list[Key] = []
    dry_run: bool = False


class LineResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file that a change deletes or adds."""

    number: int
    kind: Literal["deleted", "added"]
    text: str


class ChangeResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a change; `restart` names keys that wait for a restart, `detail` is what the reload changed."""

    state: Literal["checked", "unchanged", "reloaded", "restart"]
    tag: str
    lines: tuple[LineResponse, ...]
    restart: tuple[str, ...]
    detail: str
    backup: str | None


def settings_keys(view: DaemonView, *, has_token: bool, language: Language) -> KeysResponse:
    """Return all keys with their values; those of each source, class, schedule and rule by its name."""
    editor = view.editor
    content = None
    problem: str = LOGIN_NEEDED
    if editor is not None:
        try:
            content = editor.read()
            problem = content.problem if has_token else LOGIN_NEEDED
        except ConfigError as error:
            problem = error_text(error)
    config = view.config() if content is None else content.config
    values = redacted_config(config)
    names = _names(values, view.model().contract.labels)
    return KeysResponse(
        path=None if content is None else str(content.path),
        tag=None if content is None else content.tag,
        problem=redact_text(in_language(problem, language)) or None,
        keys=tuple(_key(key, path, values, content) for key in config_keys() for path in _expanded(key.path, names)),
    )


def change_settings(view: DaemonView, body: ChangeBody, tag: str | None, *, has_token: bool) -> ChangeResponse:
    """Check a change of the configuration file, write it and reload.

    Raises:
        RequestRefused: The change is refused; nothing is changed.
    """
    if not has_token:
        raise RequestRefused(403, LOGIN_NEEDED)
    if view.editor is None:
        raise RequestRefused(409, Sentence("Nothing runs here that has a configuration."))
    if tag is None:
        raise RequestRefused(428, "If-Match: TAG was expected, the tag of GET api/settings/keys.")
    changes = {_path(key): value for key, value in body.changes.items()}
    removed = [_path(key) for key in body.remove]
    if not changes and not removed:
        raise RequestRefused(422, "No key is named in changes or in remove.")
    try:
        done = view.editor.change(changes, removed, tag.strip().strip('"'), dry_run=body.dry_run)
    except ConfigConflictError as error:
        raise RequestRefused(412, error_text(error)) from None
    except ConfigBusyError as error:
        raise RequestRefused(409, error_text(error)) from None
    except SoundwatchError as error:
        raise RequestRefused(422, error_text(error)) from None
    return ChangeResponse(
        state=done.state,
        tag=done.tag,
        lines=tuple(LineResponse(number=line.number, kind=line.kind, text=line.text) for line in done.lines),
        restart=tuple(done.restart),
        detail=done.detail,
        backup=done.backup,
    )


def _key(key: ConfigKey, path: KeyPath, values: Any, content: ConfigContent | None) -> KeyResponse:
    value = values
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None and path[-1] not in _parent(values, path):
        value = key.default
    return KeyResponse(
        key=".".join(f'"{name}"' if "." in name else name for name in path),
        text=key.text,
        values=key.values,
        kind=key.kind,
        choices=key.choices,
        nullable=key.nullable,
        default=key.default,
        value=value,
        origin="file" if content is not None and path in content.keys else "default",
        editable=not is_protected(path),
    )


def _parent(values: Any, path: KeyPath) -> Mapping[str, Any]:
    for name in path[:-1]:
        values = values.get(name) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def _names(values: Mapping[str, Any], labels: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the names that `*` stands for, by the key before it."""
    return {name: tuple(values[name]) for name in ("sources", "schedules", "rules")} | {"classes": tuple(labels)}


def _expanded(path: KeyPath, names: Mapping[str, tuple[str, ...]]) -> Iterator[KeyPath]:
    """Yield a key's path with each name in place of `*`."""
    if ANY not in path:
        yield path
        return
    at = path.index(ANY)
    for name in names[path[at - 1]]:
        yield from _expanded((*path[:at], name, *path[at + 1 :]), names)


def _path(key: str) -> KeyPath:
    if not _KEY.fullmatch(key):
        raise RequestRefused(
            422, f"{key} is no key; names with dots between them were expected, as detection.cooldown_s."
        )
    return tuple(quoted or plain for quoted, plain in _PART.findall(key))
