"""Posts each event to a web address: as its JSON line, or as a chat service expects it.

Conventions: one request an event, in order; any status 2xx is an acceptance. A request that may succeed later (no
answer, 5xx, 429, a wrong secret or address) is repeated, not before `Retry-After`. A refusal of one event (400, 413,
422 ...) skips the event; skipped events are counted and logged. An address may hold a secret, so only its host is
shown.
Rule: `webhook-id` is equal for every delivery of an event or of one rule's message, so a receiver can drop repetitions.
The signature covers the time of sending, so that an event cannot be forged or sent again later.
Source: standardwebhooks.com; httpwg.org/specs/rfc9110.html#field.retry-after.
Does not: speak HTTP (`sinks/webhook/http_post.py`), read options (`sinks/webhook/settings.py`) or know chat services
(`sinks/webhook/templates.py`).
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.files.renewed import Renewed
from soundwatch.daemon.core.network.certificates import trusted_certificates
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.line_filter import Fields, matching_lines, parse_types
from soundwatch.daemon.sinks.place import file_place, url_place
from soundwatch.daemon.sinks.spec import PreparedSink, SinkSpec
from soundwatch.daemon.sinks.webhook.http_post import Answer, HttpPoster
from soundwatch.daemon.sinks.webhook.settings import WebhookOptions, WebhookSettings, load_settings
from soundwatch.daemon.sinks.webhook.templates import parse_time_zone

RETRYABLE: Final = (401, 402, 403, 404, 407, 408, 410, 421, 423, 425, 429)  # 4xx that are not about one event
LONGEST_WAIT_S: Final = 3600.0


class WebhookSink:
    """An address that events are posted to.

    Args:
        name: Name in the log.
        settings: Address, body and credentials, which are read again after their files were replaced.
        types: Types of lines that are posted.
        options: Deadline and age limit.
        log: Log of the daemon.
    """

    def __init__(
        self, name: str, settings: Renewed[WebhookSettings], types: frozenset[str], options: WebhookOptions, log: Logger
    ) -> None:
        self.skipped_lines = 0
        self._name = name
        self._renewed = settings
        self._settings = settings.get()
        self._types = types
        self._max_age_s = options.max_age_s
        self._timeout_s = options.timeout_s
        self._poster = self._new_poster()
        self._log = log
        self._not_before_s = 0.0
        self._closing = threading.Event()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Post the matching lines, and wait for the answers.

        Raises:
            OSError: A line has not arrived, but may later.
            SoundwatchError: A file of the settings was replaced, and cannot be used.
        """
        for entry, fields in matching_lines(entries, self._types):
            self._renew()
            if self._settings.body.omits(fields):
                continue
            if self._closing.wait(max(0.0, self._not_before_s - time.monotonic())):
                raise InterruptedError("soundwatch is being stopped")
            if self._max_age_s is not None and _age_s(fields, time.time()) > self._max_age_s:
                self._skip(fields, f"the line is older than {self._max_age_s:g} s")
                continue
            self._check_answer(self._post(entry, fields), fields)

    def close(self) -> None:
        """End the request that is under way."""
        self._closing.set()
        self._poster.close()

    def _renew(self) -> None:
        """Use the present files of the settings."""
        settings = self._renewed.get()
        if settings is self._settings:
            return
        self._settings = settings
        former, self._poster = self._poster, self._new_poster()
        former.close()
        if self._closing.is_set():  # `close` may not have known of it
            self._poster.close()

    def _new_poster(self) -> HttpPoster:
        return HttpPoster(self._settings.url, self._settings.tls, self._timeout_s)

    def _post(self, entry: JournalEntry, fields: Fields) -> Answer:
        settings = self._settings
        body = settings.body.render(entry, fields, time.time())
        key, sent_s = idempotency_key(fields), int(time.time())
        headers = {**settings.headers, "Content-Type": settings.body.content_type}
        headers |= {"webhook-id": key, "webhook-timestamp": str(sent_s), "Idempotency-Key": key}
        if settings.secret is not None:
            headers["webhook-signature"] = signature(settings.secret, key, sent_s, body)
        return self._poster.post(body, headers)

    def _check_answer(self, answer: Answer, fields: Fields) -> None:
        """Accept an answer, or skip the line.

        Raises:
            OSError: The line has to be posted again.
        """
        status = answer.status
        if 200 <= status < 300:
            return
        text = f"the server answered {status} {answer.reason}".strip()
        if 400 <= status < 500 and status not in RETRYABLE:
            self._skip(fields, text)
            return
        self._not_before_s = time.monotonic() + retry_after_s(answer.retry_after, time.time())
        hint = "; redirects are not followed, give the address where it leads" if answer.redirects else ""
        raise ConnectionError(text + hint)

    def _skip(self, fields: Fields, reason: str) -> None:
        self.skipped_lines += 1
        if self.skipped_lines.bit_count() == 1:  # the 1st, 2nd, 4th, 8th ...
            counted = {"skipped_lines": self.skipped_lines, "id": fields.get("id"), "type": fields["type"]}
            self._log.warning("webhook_line_skipped", sink=self._name, reason=reason, **counted)


def idempotency_key(fields: Fields) -> str:
    """Return the key of a line or of a rule's message, which is equal for every delivery of it and of nothing else."""
    own = "" if fields["type"] in ("start", "end") else f"_{fields['seq']}"
    if "rule" in fields:
        own += f"_{fields['rule']}"
    if fields.get("merged", 1) > 1:  # the line is that of the last message
        own += f"_merged_{fields['merged']}"
    return f"{fields.get('id') or fields['time']}_{fields['type']}{own}"


def signature(secret: bytes, key: str, sent_s: int, body: bytes) -> str:
    """Return the header `webhook-signature`: an HMAC-SHA256 of key, time and body."""
    digest = hmac.new(secret, f"{key}.{sent_s}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def retry_after_s(text: str | None, now_unix_s: float) -> float:
    """Return the pause in seconds that a server asks for, an hour at most."""
    if text is None:
        return 0.0
    try:
        wait_s = (
            float(text) if text.strip().isdigit() else email.utils.parsedate_to_datetime(text).timestamp() - now_unix_s
        )
    except (ValueError, OverflowError):  # a date beyond all years
        return 0.0
    return min(max(0.0, wait_s), LONGEST_WAIT_S)


def prepare_webhook(spec: SinkSpec, options: WebhookOptions, view: DaemonView) -> PreparedSink:
    """Prepare the sink `webhook:URL`.

    Raises:
        ConfigError: The address, an option or the content of a file is wrong.
    """
    types = parse_types(
        SinkSpec(spec.kind, "", {}), options.types or ("start+end" if options.template == "json" else "start")
    )
    parse_time_zone(options.time_zone)
    url = None
    try:
        url = load_settings(spec, options).url
    except SinkError:  # a file that cannot be read now is tried again, as every sink that cannot be opened
        if options.url_file is None:
            url = spec.target
    name = f"webhook:{options.url_file}" if url is None else webhook_name(url)

    files = options.url_file, options.secret_file, options.token_file, options.template

    def open_() -> WebhookSink:
        settings = Renewed(lambda: load_settings(spec, options), (*files, trusted_certificates(options.ca)))
        return WebhookSink(name, settings, types, options, view.log)

    return PreparedSink(
        name=name,
        place=("webhook", file_place(options.url_file or "") if url is None else url_place(url)),
        open=open_,
        check=lambda: load_settings(spec, options),
        durable=True,
        batch_lines=1,
    )


def webhook_name(url: str) -> str:
    """Return the name of a webhook, which shows the host only."""
    return f"webhook:{urlsplit(url).hostname}#{hashlib.sha256(url.encode()).hexdigest()[:6]}"


def _age_s(fields: Fields, now_unix_s: float) -> float:
    """Return the age of a line, from its own time."""
    return now_unix_s - datetime.fromisoformat(fields["time"]).timestamp()
