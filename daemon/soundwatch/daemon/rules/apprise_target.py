"""Messages through Apprise, which knows more than a hundred services.

Conventions: `apprise:URL` has an address of Apprise, such as `ntfys://ntfy.sh/TOPIC`. Nearly every part of such an
address is a secret, so only its scheme is shown, in names, in errors and in the log. Apprise gives no reason for a
failure but its log (`rules/apprise_log.py`).
Rule: 400, 413, 422 and SMTP's 552 refuse one message; any other failure is tried again, after 429 not before
`PAUSE_S`, and twice as long each time.
Rule for several recipients of one address: those that have accepted a message do not get it again. Where the service
refuses all others for good, the message is settled, since later ones would wait for it.
Rule for clips: a clip that a service does not take or refuses is left out, and the message says so. Some services take
the text and the clip one after the other; such a message comes without its clip, and once more with the reason.
Does not: import Apprise where no rule names an address, or let Apprise read files, load plugins or store anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.paths import expand_path, read_secret
from soundwatch.daemon.core.files.renewed import Renewed
from soundwatch.daemon.core.network.backoff import Backoff
from soundwatch.daemon.core.process.extras import install_command
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.core.text.utf8 import environment_text
from soundwatch.daemon.rules.apprise_log import FailureRecords
from soundwatch.daemon.rules.message import Message
from soundwatch.daemon.rules.sender import MessageRefusedError, PreparedTarget, RecipientRefusedError

if TYPE_CHECKING:
    from apprise import AppriseAttachment, NotifyBase

REFUSALS: Final = (400, 413, 422, 552)
CLIP_REFUSALS: Final = (*REFUSALS, 415)
PAUSE_S: Final = 60.0
LONGEST_PAUSE_S: Final = 3600.0
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


class AppriseOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `apprise`.

    Attributes:
        url_file: A file that holds the address.
        url_env: A variable of the environment that holds the address.
    """

    url_file: str | None = None
    url_env: str | None = None


class AppriseSender:
    """A service that Apprise sends to.

    Args:
        name: Name in the log.
        plugin: Apprise's client of the service, which is made again after the file of the address was replaced.
        log: Log of the daemon.

    Attributes:
        not_before_s: Time by the monotonic clock before which nothing is sent.
    """

    def __init__(self, name: str, plugin: Renewed[NotifyBase], log: Logger) -> None:
        self._name = name
        self._plugin = plugin
        self._log = log
        self._backoff = Backoff(PAUSE_S, LONGEST_PAUSE_S)
        self.not_before_s = 0.0
        self._closing = threading.Event()
        self._message: tuple[int, int] | None = None  # the one that was sent last
        self._recipients: tuple[set[object], set[object]] = (set(), set())  # that have it, without and with its clip

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            OSError: The message may not have arrived.
            MessageRefusedError: The service refuses the message.
            SoundwatchError: The file of the address was replaced, and cannot be used.
        """
        if self._closing.wait(max(0.0, self.not_before_s - time.monotonic())):
            raise InterruptedError("soundwatch is being stopped")
        if (message.seq, message.merged) != self._message:
            self._message, self._recipients = (message.seq, message.merged), (set(), set())
        attached, fault = self._attachment(message)
        accepted, records = self._notify(_without_clip(message, fault) if fault else message, attached)
        if not accepted and attached is not None and records.status in CLIP_REFUSALS:
            fault = f"the service refused the clip with {records.status}"
            accepted, records = self._notify(_without_clip(message, fault), None)
        if accepted:
            if fault:
                self._log.warning("rule_clip_left_out", sink=self._name, rule=message.rule, reason=fault)
            self._backoff.reset()
            return
        raise self._error(records)

    def _error(self, records: FailureRecords) -> OSError | MessageRefusedError:
        """Return the error of a message that was not accepted by all recipients."""
        status = records.status
        if status is None:
            return ConnectionError(records.cause or "the service did not accept the message")
        if not records.may_pass and (records.some_accepted or any(self._recipients)):
            return RecipientRefusedError(f"the service answered {status} for a recipient, others have the message")
        if not records.may_pass and status in REFUSALS:
            return MessageRefusedError(f"the service answered {status}")
        if status == 429:
            self.not_before_s = time.monotonic() + self._backoff.next_s()
        return ConnectionError(f"the service answered {status}")

    def close(self) -> None:
        """End a pause."""
        self._closing.set()

    def _attachment(self, message: Message) -> tuple[AppriseAttachment | None, str]:
        """Return the clip of a message, and the reason why a clip cannot go along."""
        if message.clip_path is None:
            return None, ""
        if not self._plugin.get().attachment_support:
            return None, "the service takes no clips"
        if not Path(message.clip_path).is_file():
            return None, "the clip is gone"
        from apprise import AppriseAttachment

        return AppriseAttachment(message.clip_path), ""

    def _notify(self, message: Message, attached: AppriseAttachment | None) -> tuple[bool, FailureRecords]:
        """Send a message once; return whether it was accepted, and the failures."""
        recipients = self._recipients[attached is not None]
        with FailureRecords() as records, _skipping(recipients):
            accepted = bool(self._plugin.get().notify(body=message.body, title=message.title, attach=attached))
        return accepted, records


@contextlib.contextmanager
def _skipping(accepted: set[object]) -> Iterator[None]:
    """Have Apprise leave out the recipients in a set, and add those that accept.

    Apprise does so by itself only between its own attempts; releases before 2.3 do not.
    """
    from apprise.plugins import base

    tracker = getattr(base, "_delivery_tracker", None)
    if tracker is None:
        yield
        return
    token = tracker.set(accepted)
    try:
        yield
    finally:
        tracker.reset(token)


def _without_clip(message: Message, fault: str) -> Message:
    return replace(message, body=f"{message.body} ({fault})")


def prepare_apprise(where: str, target: str, options: AppriseOptions, log: Logger) -> PreparedTarget:
    """Prepare the destination `apprise:URL`.

    Raises:
        ConfigError: The address is missing, is given twice or is unknown, or Apprise is not installed.
    """
    given = [value for value in (target, options.url_file, options.url_env) if value]
    if len(given) != 1:
        raise ConfigError(
            f"{where}: apprise needs one address: apprise:URL, or the option url_file or url_env; {len(given)} are "
            "given."
        )
    name = f"apprise:{_shown(target) if target else given[0]}"

    def url() -> str:
        return target or _read_url(where, options)

    with contextlib.suppress(SinkError):  # an address that is not there now is tried again
        load_plugin(where, url())
    return PreparedTarget(
        name=name,
        open=lambda: AppriseSender(name, Renewed(lambda: load_plugin(where, url()), [options.url_file]), log),
        check=lambda: load_plugin(where, url()),
    )


def load_plugin(where: str, url: str) -> NotifyBase:
    """Return Apprise's client for an address.

    Raises:
        ConfigError: Apprise is not installed, or does not know the address.
    """
    scheme = _scheme(where, url)
    try:
        import apprise
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{where}: apprise: needs the Python package apprise, which is not installed. Install it with "
            f"{install_command('apprise')}, or use webhook:URL."
        ) from error
    logger = logging.getLogger("apprise")
    logger.propagate = False  # entries may hold addresses
    logger.setLevel(logging.DEBUG)  # where Apprise puts the causes of failures
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    asset = apprise.AppriseAsset(
        app_id="soundwatch", app_desc="soundwatch", app_url="", image_url_mask="", async_mode=False
    )
    plugin = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if plugin is None:
        known = {schema for entry in apprise.Apprise().details()["schemas"] for schema in _schemas(entry)}
        fault = "has another form; " if scheme in known else f"is unknown; {did_you_mean(scheme, known)}"
        raise ConfigError(
            f"{where}: the address of apprise:{scheme} {fault}Apprise's documentation of the service shows the form."
        )
    return plugin


def _schemas(entry: dict[str, object]) -> list[str]:
    return [str(name) for key in ("protocols", "secure_protocols") for name in (entry.get(key) or ())]  # type: ignore[attr-defined]


def _scheme(where: str, url: str) -> str:
    found = _SCHEME.match(url)
    if found is None:
        raise ConfigError(f"{where}: apprise: needs an address of Apprise, such as apprise:ntfys://ntfy.sh/TOPIC.")
    return found[1].lower()


def _shown(url: str) -> str:
    """Return the scheme of an address, and a hash that distinguishes two addresses."""
    return f"{url.partition('://')[0]}#{hashlib.sha256(url.encode('utf-8', 'backslashreplace')).hexdigest()[:6]}"


def _read_url(where: str, options: AppriseOptions) -> str:
    """Return the address from the environment or from a file.

    Raises:
        ConfigError: The variable is not UTF-8.
        SinkError: The variable is not set, or the file cannot be read.
    """
    if options.url_env is not None:
        if not (url := environment_text(options.url_env)):
            raise SinkError(f"{where}: the environment has no {options.url_env}. Set it to the address of Apprise.")
        return url
    path = expand_path(options.url_file or "")
    try:
        return read_secret(path).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SinkError(f"{where}: {path} cannot be read: {getattr(error, 'strerror', error)}.") from error
