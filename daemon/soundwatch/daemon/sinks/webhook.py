"""Each event is posted to a web address: as its JSON line, or as a chat service wants it.

Conventions: one request an event, in order; 2xx has it, whatever follows. What may succeed later (no answer, 5xx, 429,
a wrong secret or address) is tried again, not before `Retry-After` says; what never can, since it is about this event
(400, 413, 422 ...), is skipped, counted and said. Redirects are not followed, certificates are checked. An address may
hold a secret, so only its host is ever shown.
Rule: `webhook-id` is the same however often an event comes, so a receiver can leave out what it has had; signed, with
the time of sending in the signature, so that nobody else can send it, nor later.
Source: standardwebhooks.com; httpwg.org/specs/rfc9110.html#field.retry-after.
Does not: know chat services (`sinks/webhook_templates.py`).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import email.utils
import hashlib
import hmac
import ssl
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
import urllib3

from soundwatch.daemon import __version__
from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.context import OpenedSink, SinkContext, SinkSpec, parse_options
from soundwatch.daemon.sinks.line_filter import Fields, matching_lines, parse_types
from soundwatch.daemon.sinks.webhook_templates import BodyTemplate, load_template

CURABLE: Final = (401, 402, 403, 404, 407, 408, 410, 421, 423, 425, 429)  # 4xx that are not about one event
LONGEST_WAIT_S: Final = 3600.0
READ_BYTES: Final = 65_536
SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # what secrets begin with, not one


class WebhookOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `webhook` can be told.

    Attributes:
        url_file: A file that holds the address, where the address is a secret.
        secret_file: A file that holds what requests are signed with, `whsec_` and base64.
        token_file: A file that holds a bearer token.
        template: json, slack, discord, ntfy, or a file.
        types: The lines that are posted; null for start and end of `json`, for start of all others.
        timeout_s: How long an answer may take.
        ca: Certificates that the server's is checked with, in place of the system's.
    """

    url_file: str | None = None
    secret_file: str | None = None
    token_file: str | None = None
    template: str = "json"
    types: str | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    ca: str | None = None


class WebhookSink:
    """An address that events are posted to.

    Args:
        url: It.
        types: The lines that are posted.
        body: What makes a request's body of one.
        headers: What all requests have.
        secret: What they are signed with; None for no signature.
        tls: What the server's certificate is checked with; None for the system's.
        timeout_s: How long an answer may take.
        sink_context: Whom it is told when an event is skipped.
    """

    def __init__(
        self,
        url: str,
        types: frozenset[str],
        body: BodyTemplate,
        headers: dict[str, str],
        secret: bytes | None,
        tls: ssl.SSLContext | None,
        timeout_s: float,
        sink_context: SinkContext,
    ) -> None:
        self.name = f"webhook:{urlsplit(url).hostname}#{hashlib.sha256(url.encode()).hexdigest()[:6]}"
        self.skipped_lines = 0
        self._url = url
        self._types = types
        self._body = body
        self._headers = headers
        self._secret = secret
        self._pool = urllib3.PoolManager(ssl_context=tls, timeout=urllib3.Timeout(connect=timeout_s, read=timeout_s))
        self._log = sink_context.log
        self._not_before_s = 0.0
        self._closing = threading.Event()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Post what is wanted, and wait for the answer.

        Raises:
            OSError: It has not arrived, but may later.
        """
        for entry, fields in matching_lines(entries, self._types):
            if self._closing.wait(max(0.0, self._not_before_s - time.monotonic())):
                raise InterruptedError("soundwatch is being stopped")
            self._take(self._post(entry, fields), fields)

    def close(self) -> None:
        """Close the connection, once no answer is waited for."""
        self._closing.set()
        self._pool.clear()

    def _post(self, entry: JournalEntry, fields: Fields) -> urllib3.BaseHTTPResponse:
        body = self._body.render(entry, fields)
        key, sent_s = idempotency_key(fields), int(time.time())
        headers = self._headers | {"Content-Type": self._body.content_type}
        headers |= {"webhook-id": key, "webhook-timestamp": str(sent_s), "Idempotency-Key": key}
        if self._secret is not None:
            headers["webhook-signature"] = signature(self._secret, key, sent_s, body)
        try:
            answer = self._pool.request(
                "POST", self._url, body=body, headers=headers, redirect=False, retries=False, preload_content=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(_plain(error, self._url)) from None
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            answer.read(READ_BYTES)  # to the end, mostly: then the connection serves for the next
        answer.close()
        return answer

    def _take(self, answer: urllib3.BaseHTTPResponse, fields: Fields) -> None:
        """Decide what an answer means.

        Raises:
            OSError: The event has to be posted again.
        """
        status = answer.status
        if 200 <= status < 300:
            return
        if 400 <= status < 500 and status not in CURABLE:
            self.skipped_lines += 1
            if self.skipped_lines.bit_count() == 1:  # the 1st, 2nd, 4th, 8th ...
                why = f"the server answered {status} {answer.reason or ''}".strip()
                counted = {"skipped_lines": self.skipped_lines, "id": fields.get("id"), "type": fields["type"]}
                self._log.warning("an event was refused and is skipped", sink=self.name, error=why, **counted)
            return
        self._not_before_s = time.monotonic() + retry_after_s(answer.headers.get("Retry-After"), time.time())
        hint = "; redirects are not followed, give the address where it leads" if 300 <= status < 400 else ""
        raise ConnectionError(f"the server answered {status} {answer.reason or ''}".strip() + hint)


def idempotency_key(fields: Fields) -> str:
    """What a line is known by, however often it comes."""
    if fields["type"] in ("start", "end"):
        return f"{fields['id']}_{fields['type']}"
    return f"{fields.get('id') or fields['time']}_{fields['type']}_{fields['seq']}"


def signature(secret: bytes, key: str, sent_s: int, body: bytes) -> str:
    """The header `webhook-signature`: an HMAC-SHA256 of id, time and body."""
    digest = hmac.new(secret, f"{key}.{sent_s}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def retry_after_s(text: str | None, now_unix_s: float) -> float:
    """Seconds that a server asks to wait, an hour at most."""
    if text is None:
        return 0.0
    try:
        wait_s = (
            float(text) if text.strip().isdigit() else email.utils.parsedate_to_datetime(text).timestamp() - now_unix_s
        )
    except ValueError:
        return 0.0
    return min(max(0.0, wait_s), LONGEST_WAIT_S)


def open_webhook(spec: SinkSpec, sink_context: SinkContext) -> OpenedSink:
    """The sink `webhook:URL`.

    Raises:
        ConfigError: The address, the secret, the template or an option is wrong.
        SinkError: A file of the options cannot be read.
    """
    options = parse_options(spec, WebhookOptions)
    url = _read(options.url_file) if options.url_file else spec.target
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ConfigError("-F webhook: its address has to begin with https:// or http:// and name a host.")
    headers = {"User-Agent": f"soundwatch/{__version__}"}
    if options.token_file:
        headers["Authorization"] = f"Bearer {_read(options.token_file)}"
    types = options.types or ("start+end" if options.template == "json" else "start")
    try:
        tls = ssl.create_default_context(cafile=options.ca) if options.ca else None
    except OSError as error:
        raise SinkError(f"{options.ca} cannot be used: {error}.") from error
    sink = WebhookSink(
        url=url,
        types=parse_types(SinkSpec(spec.kind, "", {}), types),
        body=load_template(options.template),
        headers=headers,
        secret=_secret(options.secret_file) if options.secret_file else None,
        tls=tls,
        timeout_s=options.timeout_s,
        sink_context=sink_context,
    )
    return OpenedSink(sink, durable=True, most=1)


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
            f"{path} holds no secret: {SECRET_PREFIX} and at least 16 bytes as base64 were wanted. Make one with: "
            f'echo "{SECRET_PREFIX}$(openssl rand -base64 32)" > {path}'
        ) from None
    return secret


def _read(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SinkError(f"{path} cannot be read: {error.strerror}.") from error


def _plain(error: Exception, url: str) -> str:
    """Why a request failed, without the address's secrets."""
    path = urlsplit(url)._replace(scheme="", netloc="").geturl()
    text = str(error)
    return text.replace(url, "...").replace(path, "...") if len(path) > 1 else text
