"""Where the server listens, and who may come in.

Conventions: `-F http://HOST:PORT[,token_file=FILE][,host=NAME]`. On a loopback address nobody else can reach it, and no
token is needed. On any other one it is: from the file, or from SOUNDWATCH_TOKEN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.loopback import is_loopback, parse_ip
from soundwatch.daemon.sinks.context import SinkSpec, parse_options

PORT: Final = 8433
TOKEN_VARIABLE: Final = "SOUNDWATCH_TOKEN"  # noqa: S105  # its name
LEAST_TOKEN_LETTERS: Final = 16
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class HttpOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may follow the address.

    Attributes:
        token_file: Whose first line is the token.
        host: One more name that it is reached by: a reverse proxy's.
    """

    token_file: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to listen, and to whom.

    Attributes:
        host: Name or address of an interface of this machine.
        port: 0 for any that is free.
        token: What a visitor has to know; None where all are let in.
        names: The names it may be called by.
    """

    host: str
    port: int
    token: str | None
    names: frozenset[str]

    @property
    def url(self) -> str:
        """What a browser is given."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def is_own(self, name: str) -> bool:
        """Whether a `Host` header's name is one of ours. DNS can lend a stranger's name our address, but no address."""
        if name in self.names:
            return True
        return not is_loopback(self.host) and parse_ip(name) is not None


def parse_settings(spec: SinkSpec, machine: str, environment: Mapping[str, str]) -> Settings:
    """What a sink's word asks for.

    Args:
        spec: The word.
        machine: This machine's name.
        environment: Where the token may be.

    Raises:
        ConfigError: The address is none, or it is open to others and there is no token.
    """
    options = parse_options(spec, HttpOptions)
    host, port = _place(spec)
    token = _token(spec, options, environment)
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"-F {spec.text} can be reached from other machines, so a token is wanted, which visitors have to know. "
            f"Put one into a file and add ,token_file=FILE, or set {TOKEN_VARIABLE}; or listen at 127.0.0.1."
        )
    names = {host.lower(), *_LOOPBACK_NAMES}
    if not is_loopback(host):
        names |= {machine.lower(), f"{machine.lower()}.local"}
    if options.host:
        names.add(options.host.lower())
    return Settings(host, port, token, frozenset(names))


def _place(spec: SinkSpec) -> tuple[str, int]:
    wrong = ConfigError(f"-F {spec.text} is no address; http://HOST:PORT was wanted, as http://127.0.0.1:{PORT}.")
    try:
        parts = urlsplit(spec.text)
        port = PORT if parts.port is None else parts.port
    except ValueError:
        raise wrong from None
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise wrong
    return parts.hostname, port


def _token(spec: SinkSpec, options: HttpOptions, environment: Mapping[str, str]) -> str | None:
    where = TOKEN_VARIABLE
    token = environment.get(TOKEN_VARIABLE)
    if options.token_file is not None:
        where = options.token_file
        try:
            token = Path(where).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"-F {spec.text}: {where} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}. "
                "Give a file that holds a token."
            ) from error
    if token is None:
        return None
    if len(token) < LEAST_TOKEN_LETTERS or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"-F {spec.text}: the token in {where} has {len(token)} letters; at least {LEAST_TOKEN_LETTERS} of ASCII "
            "without spaces were wanted. Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token
