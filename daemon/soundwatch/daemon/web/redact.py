"""The configuration without its secrets, as the API shows it.

Conventions: what is hidden reads `***`. Hidden are passwords in URLs and their queries, whole paths of webhooks (a chat
service's secret is its path), what follows a command's program, and every value whose key speaks of a secret.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from soundwatch.daemon.core.config import Config

HIDDEN: Final = "***"
_SECRET_KEY: Final = re.compile(r"(password|passwd|token|secret|credential|hmac|(^|_)key)(?!.*_file$)", re.IGNORECASE)
_USER: Final = re.compile(r"(?<=//)[^/@\s]*@")
_QUERY: Final = re.compile(r"\?[^,\s]*")
_OPTION: Final = re.compile(r",([a-z][a-z0-9_]*)=([^,]*)")
_WEBHOOK: Final = re.compile(r"^(webhook:(?:https?:)?//[^/,]*)/[^,]*")
_COMMAND: Final = re.compile(r"^(command:\S+)\s.*", re.DOTALL)


def redacted_config(config: Config) -> dict[str, Any]:
    """Every value in force, but no secret."""
    shown: dict[str, Any] = _without(msgspec.to_builtins(config))
    return shown


def _without(value: Any) -> Any:
    match value:
        case dict():
            return {
                key: HIDDEN if each is not None and _SECRET_KEY.search(str(key)) else _without(each)
                for key, each in value.items()
            }
        case list() | tuple():
            return [_without(each) for each in value]
        case str():
            return _text(value)
        case _:
            return value


def _text(text: str) -> str:
    text = _COMMAND.sub(rf"\1 {HIDDEN}", text)
    text = _WEBHOOK.sub(rf"\1/{HIDDEN}", text)
    text = _OPTION.sub(lambda found: f",{found[1]}={HIDDEN if _SECRET_KEY.search(found[1]) else found[2]}", text)
    if "//" not in text:
        return text
    return _QUERY.sub(f"?{HIDDEN}", _USER.sub(f"{HIDDEN}@", text))
