"""Options of a webhook, and what the files that they name contain.

Conventions: a credential is one line of printable ASCII, since the line goes into a header. A user name and a password
of an address go into the header `Authorization`, as every client of HTTP sends them.
Does not: post (`sinks/webhook/sink.py`), or show the content of a file.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from soundwatch.daemon import __version__
from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.paths import expand_path, read_secret
from soundwatch.daemon.core.languages.language import Language
from soundwatch.daemon.core.network.redact import check_address
from soundwatch.daemon.core.time.clock import DAY_S
from soundwatch.daemon.sinks.spec import SinkSpec
from soundwatch.daemon.sinks.webhook.templates import BodyTemplate, load_template

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # the prefix of secrets, not one


class WebhookOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `webhook`.

    Attributes:
        url_file: A file that holds the address, where the address is a secret.
        secret_file: A file that holds the key of the signature, `whsec_` and base64.
        token_file: A file that holds a bearer token.
        template: json, slack, discord, ntfy, or a file.
        types: Types of lines that are posted; null for start and end of `json`, for start of all others.
        timeout_s: Deadline of a request, from the look-up of the host to the head of the answer.
        max_age_s: Age above which a line is skipped instead of posted; null for any age.
        time_zone: Zone of times in texts for people: UTC, local, or a name like Europe/Berlin.
        language: Language of texts for people.
        ca: Certificates that check the server's, in place of the system's.
    """

    url_file: str | None = None
    secret_file: str | None = None
    token_file: str | None = None
    template: str = "json"
    types: str | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=DAY_S)] = 10.0
    max_age_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    time_zone: str = "UTC"
    language: Language = "en"
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Everything that a webhook needs, with the contents of the files that the options name.

    Attributes:
        url: Address of the server.
        body: Makes the body of a request.
        headers: Headers of every request.
        secret: Key of the signature; None for no signature.
        tls: Context that checks the server's certificate.
    """

    url: str
    body: BodyTemplate
    headers: Mapping[str, str]
    secret: bytes | None
    tls: ssl.SSLContext


def load_settings(spec: SinkSpec, options: WebhookOptions) -> WebhookSettings:
    """Read the files that the options name.

    Raises:
        ConfigError: The address or the content of a file is wrong.
        SinkError: A file cannot be read.
    """
    url = _read(options.url_file) if options.url_file else spec.target
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named or not url.isprintable():
        raise ConfigError("-F webhook: its address has to be one line, begin with https:// or http:// and name a host.")
    headers = {"User-Agent": f"soundwatch/{__version__}"} | _authorization(url, parts, options.token_file)
    try:
        tls = ssl.create_default_context(cafile=options.ca)
    except OSError as error:
        raise SinkError(f"{options.ca} cannot be used: {error}.") from error
    secret = _secret(options.secret_file) if options.secret_file else None
    return WebhookSettings(
        url, load_template(options.template, options.time_zone, options.language), headers, secret, tls
    )


def _authorization(url: str, parts: SplitResult, token_file: str | None) -> dict[str, str]:
    """Return the header with the credentials; empty where there are none.

    Raises:
        ConfigError: The credentials cannot be sent, or there are two.
        SinkError: The file of the token cannot be read.
    """
    if parts.username is None:
        return {"Authorization": f"Bearer {_token(token_file)}"} if token_file else {}
    if token_file:
        raise ConfigError("-F webhook: a user name in the address and token_file exclude each other; remove one.")
    try:
        check_address(url)
    except ConfigError:  # its message shows the path, which may be a secret
        raise ConfigError(
            "-F webhook: the user name and the password of its address are ambiguous. Percent-encode these characters "
            "in them: @ is %40, / is %2F, ? is %3F, # is %23, % is %25, a space is %20."
        ) from None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _token(path: str) -> str:
    text = _read(path)
    if not text or " " in text or not (text.isascii() and text.isprintable()):
        raise ConfigError(
            f"{path} holds no token: one line of ASCII characters without spaces was expected. Remove all else."
        )
    return text


def _secret(path: str) -> bytes:
    text = _read(path)
    try:
        if not text.startswith(SECRET_PREFIX):
            raise ValueError(text)
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
        if len(secret) < 16:
            raise ValueError(text)
    except (ValueError, binascii.Error):
        raise ConfigError(
            f"{path} holds no secret: {SECRET_PREFIX} and at least 16 bytes as base64 were expected. Make one with: "
            f'echo "{SECRET_PREFIX}$(openssl rand -base64 32)" > {path}'
        ) from None
    return secret


def _read(path: str) -> str:
    try:
        return read_secret(expand_path(path)).strip()
    except OSError as error:
        raise SinkError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8.") from error
