"""Redaction of secrets in addresses: one rule for the log, lines, the journal, the API and diagnostics.

Conventions: a hidden part reads `***`. Hidden in an address are the user name and the password, every value of its
query and fragment, and the value of every `key=value` in its path, since cameras take passwords in all of these. Keys
and paths stay. In a sink's text the whole path of a webhook (a chat service's secret is its path), all but the scheme
of an address of Apprise, the arguments of a command, and every option whose key names a secret are hidden as well.
Rule: an address that two programs could split in two ways is hidden up to its last `@`, and `check_address` refuses it.
Does not: find secrets outside of addresses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from soundwatch.daemon.core.errors import ConfigError

HIDDEN: Final = "***"
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>`]+", re.IGNORECASE)
_PATH_VALUE: Final = re.compile(r"=[^&;]*")
_SECRET_KEY: Final = re.compile(r"(password|passwd|token|secret|credential|hmac|(^|_)key)(?!.*_file$)", re.IGNORECASE)
OPTION: Final = re.compile(r",([a-z][a-z0-9_]*)=([^,]*)")
_WEBHOOK: Final = re.compile(r"^(webhook:(?:https?:)?//[^/,]*)/[^,]*")
_APPRISE: Final = re.compile(r"^(apprise:[a-z0-9+.-]*:/*)", re.IGNORECASE)
_COMMAND: Final = re.compile(r"^(command:\S+)\s.*", re.DOTALL)
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BRACKET: Final = re.compile(r"[\[\]]")  # brackets enclose an IPv6 address


def redact_url(url: str) -> str:
    """Hide the secrets of one address; return any other text as it is."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    _, at, rest = rest.rpartition("@")
    place, cut, query = _split_query(rest)
    host, slash, path = place.partition("/")
    shown = host + slash + _PATH_VALUE.sub(f"={HIDDEN}", path)
    return f"{scheme}://{f'{HIDDEN}@' if at else ''}{shown}{cut}{_redact_query(query)}"


def redact_text(text: str) -> str:
    """Hide the secrets of every address in a text."""
    return _ADDRESS.sub(_redact_match, text) if "://" in text else text


def redact_sink(text: str) -> str:
    """Hide the secrets of a sink's text, such as `webhook:https://HOST/PATH,hmac_key=KEY`."""
    if found := _APPRISE.match(text):
        return f"{found[1]}{HIDDEN}"
    text = _COMMAND.sub(rf"\1 {HIDDEN}", text)
    text = _WEBHOOK.sub(rf"\1/{HIDDEN}", text)
    first = OPTION.search(text)  # a comma may be a part of a password, a comma before `key=` begins the options
    address, options = (text, "") if first is None else (text[: first.start()], text[first.start() :])
    return redact_url(address) + OPTION.sub(_redact_option, options)


def redacted_config(config: msgspec.Struct) -> dict[str, Any]:
    """Return every value of a `Config` as builtin types, with secrets hidden."""
    values = msgspec.to_builtins(config)
    shown: dict[str, Any] = _redact_tree(values, redact_url)
    shown["sinks"] = _redact_tree(values["sinks"], redact_sink)
    for name, rule in values["rules"].items():
        shown["rules"][name]["then"]["send"] = _redact_tree(rule["then"]["send"], redact_sink)
    return shown


def check_address(url: str, where: str = "The device") -> None:
    """Refuse an address whose user name or password is not percent-encoded.

    Args:
        url: The address, with its scheme.
        where: Name of the setting, for the message.

    Raises:
        ConfigError: Two programs could split the address in two ways, so parts of a password could be taken for a host.
    """
    rest = url.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user = authority.rpartition("@")[0]
    ambiguous = "@" in rest[len(authority) :] or "@" in user or _BAD_PERCENT.search(user) or re.search(r"\s", authority)
    if ambiguous or _BRACKET.search(user):
        raise ConfigError(
            f"{where} {redact_url(url)} is ambiguous: the first of / ? # ends the host, and only one @ may stand "
            "before it. In a user name, a password, a path or a query percent-encode these characters: @ is %40, "
            "/ is %2F, ? is %3F, # is %23, % is %25, [ is %5B, ] is %5D, a space is %20."
        )
    try:
        named = urlsplit(url)  # as every reader of the address splits it
        valid = named.port is None or named.port > 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(
            f"{where} {redact_url(url)} has a host that cannot be read, or a port that is no number from 1 to 65535. "
            "If that is a part of a password, percent-encode it: @ is %40, / is %2F, : is %3A."
        )


def _split_query(rest: str) -> tuple[str, str, str]:
    """Split at the first `?` or `#`."""
    found = re.search(r"[?#]", rest)
    return (rest, "", "") if found is None else (rest[: found.start()], found[0], rest[found.end() :])


def _redact_query(query: str) -> str:
    """Hide every value; a parameter without `=` may be a secret as a whole."""
    parts = re.split(r"([&;])", query)
    return "".join(part if part in ("", "&", ";") else _redact_parameter(part) for part in parts)


def _redact_parameter(part: str) -> str:
    key, equals, _ = part.partition("=")
    return f"{key}={HIDDEN}" if equals else HIDDEN


def _redact_match(found: re.Match[str]) -> str:
    address = found[0].rstrip(".,:;)]}")
    return redact_url(address) + found[0][len(address) :]


def _redact_option(found: re.Match[str]) -> str:
    return f",{found[1]}={HIDDEN if _SECRET_KEY.search(found[1]) else redact_text(found[2])}"


def _redact_tree(value: Any, redact: Callable[[str], str]) -> Any:
    match value:
        case dict():
            return {
                key: HIDDEN if inner is not None and _SECRET_KEY.search(str(key)) else _redact_tree(inner, redact)
                for key, inner in value.items()
            }
        case list() | tuple():
            return [_redact_tree(inner, redact) for inner in value]
        case str():
            return redact(value)
        case _:
            return value
