"""Mail through Apprise against a real mail server that refuses, hangs up, and has a wrong certificate."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from soundwatch.daemon.core.files.renewed import Renewed
from soundwatch.daemon.rules.apprise_target import AppriseSender, load_plugin
from soundwatch.daemon.rules.message import Message
from soundwatch.daemon.rules.sender import MessageRefusedError, RecipientRefusedError
from support.memory_logger import MemoryLogger
from support.ports import free_port

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of modules that Apprise imports
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning"),
]
MESSAGE = Message("night", "siren", "siren at mic0", 1, b"{}\n")
LATER = Message("night", "siren", "siren at mic0", 2, b"{}\n")


class Mailbox:
    """What a mail server got, and how it answers.

    Attributes:
        mails: Mails that were accepted.
        refusals: Answers to the next recipients or contents, None for an acceptance.
        at: The command that is answered so: RCPT or DATA.
    """

    def __init__(self) -> None:
        self.mails: list[Envelope] = []
        self.refusals: list[str | None] = []
        self.at = "DATA"

    async def handle_RCPT(  # noqa: N802  # the server's name
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        """Take a recipient."""
        refusal = self._refusal("RCPT")
        if refusal is None and not address.startswith("unknown"):
            envelope.rcpt_tos.append(address)
            return "250 OK"
        return refusal or "550 5.1.1 No such user here"

    async def handle_DATA(self, server: SMTP, _: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a mail."""
        refusal = self._refusal("DATA")
        if refusal == "hang up":
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        if refusal is None:
            self.mails.append(envelope)
        return refusal or "250 OK"

    def _refusal(self, at: str) -> str | None:
        return self.refusals.pop(0) if at == self.at and self.refusals else None


def _authenticate(_: Any, __: Any, ___: Any, ____: Any, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"box", b"pass")
    return AuthResult(success=good, handled=False)  # so the server answers a refusal


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[tuple[Mailbox, int]]:
    mailbox, port = Mailbox(), free_port()
    options: dict[str, Any] = {"auth_require_tls": False, "auth_required": True, "authenticator": _authenticate}
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, tls_context=tls, **options)
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def mail_server() -> Iterator[tuple[Mailbox, int]]:
    with serving() as server:
        yield server


@pytest.fixture
def mailbox(mail_server: tuple[Mailbox, int]) -> Mailbox:
    mailbox, _ = mail_server
    mailbox.mails.clear()
    mailbox.refusals.clear()
    return mailbox


def sender(port: int, password: str = "pass", to: str = "me@example.org", mode: str = "insecure") -> AppriseSender:  # noqa: S107
    url = f"mailto://box:{password}@127.0.0.1:{port}?from=box@example.org&to={to}&mode={mode}"
    plugin = load_plugin("rules.r.then.send[0]", url)
    plugin.request_rate_per_sec = 0  # Apprise waits before a second mail
    return AppriseSender("apprise:test", Renewed(lambda: plugin, []), MemoryLogger())


def test_a_mail_has_the_title_and_the_text(mail_server: tuple[Mailbox, int], mailbox: Mailbox) -> None:
    sender(mail_server[1]).send(MESSAGE)
    [envelope] = mailbox.mails
    content = envelope.content
    assert isinstance(content, bytes)
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert (mail["Subject"], envelope.rcpt_tos) == ("siren", ["me@example.org"])
    assert "siren at mic0" in content.decode()


@pytest.mark.parametrize(
    ("at", "refusal", "reason"),
    [
        ("RCPT", "451 4.7.1 Greylisted me@example.org, try again later", "the service answered 451"),
        ("DATA", "421 4.3.2 Shutting down", "the service answered 421"),
        ("DATA", "hang up", "the service closed the connection"),
    ],
)
def test_a_mail_that_is_not_accepted_now_is_sent_again_and_arrives_once(
    mail_server: tuple[Mailbox, int], mailbox: Mailbox, at: str, refusal: str, reason: str
) -> None:
    mailbox.at, mailbox.refusals = at, [refusal, refusal]
    sending = sender(mail_server[1])
    for _ in range(2):
        with pytest.raises(ConnectionError, match=f"^{reason}$"):
            sending.send(MESSAGE)
    sending.send(MESSAGE)
    assert len(mailbox.mails) == 1


def test_a_mail_that_is_too_large_is_refused(mail_server: tuple[Mailbox, int], mailbox: Mailbox) -> None:
    mailbox.at, mailbox.refusals = "DATA", ["552 5.3.4 Message too big"]
    with pytest.raises(MessageRefusedError, match="the service answered 552"):
        sender(mail_server[1]).send(MESSAGE)


def test_a_recipient_that_has_the_mail_does_not_get_it_again_while_another_is_not_accepted_now(
    mail_server: tuple[Mailbox, int], mailbox: Mailbox
) -> None:
    mailbox.at, mailbox.refusals = "RCPT", [None, *(3 * ["451 4.7.1 Greylisted"])]
    sending = sender(mail_server[1], to="me@example.org,you@example.org")
    for _ in range(3):
        with pytest.raises(ConnectionError, match=r"^the service answered 451$"):
            sending.send(MESSAGE)
    sending.send(MESSAGE)
    assert [mail.rcpt_tos for mail in mailbox.mails] == [["me@example.org"], ["you@example.org"]]
    sending.send(LATER)
    assert len(mailbox.mails) == 4, "the next message is another one"


@pytest.mark.parametrize("to", ["me@example.org,unknown@example.org", "me@example.org&cc=unknown@example.org"])
def test_a_recipient_that_is_refused_for_good_does_not_hold_back_the_mails_of_the_others(
    mail_server: tuple[Mailbox, int], mailbox: Mailbox, to: str
) -> None:
    sending = sender(mail_server[1], to=to)
    for message in (MESSAGE, LATER):
        with pytest.raises(RecipientRefusedError, match=r"^the service answered 550 for a recipient"):
            sending.send(message)
    assert [mail.rcpt_tos for mail in mailbox.mails] == [["me@example.org"], ["me@example.org"]]


def test_a_copy_that_is_not_accepted_now_is_lost_since_the_others_have_the_mail(
    mail_server: tuple[Mailbox, int], mailbox: Mailbox
) -> None:
    mailbox.at, mailbox.refusals = "RCPT", [None, "451 4.7.1 Greylisted"]
    with pytest.raises(RecipientRefusedError, match=r"^the service answered 451 for a recipient"):
        sender(mail_server[1], to="me@example.org&cc=you@example.org").send(MESSAGE)
    assert [mail.rcpt_tos for mail in mailbox.mails] == [["me@example.org"]]


def test_a_mail_that_all_recipients_refuse_waits(mail_server: tuple[Mailbox, int], mailbox: Mailbox) -> None:
    with pytest.raises(ConnectionError, match=r"^the service answered 550$"):
        sender(mail_server[1], to="unknown@example.org,unknown2@example.org").send(MESSAGE)
    assert not mailbox.mails


def test_a_mail_is_sent_again_where_one_recipient_is_refused_for_good_and_another_one_for_now(
    mail_server: tuple[Mailbox, int], mailbox: Mailbox
) -> None:
    mailbox.at, mailbox.refusals = "RCPT", [None, "451 4.7.1 Greylisted"]
    sending = sender(mail_server[1], to="me@example.org,you@example.org,unknown@example.org")
    with pytest.raises(ConnectionError):
        sending.send(MESSAGE)
    with pytest.raises(RecipientRefusedError):
        sending.send(MESSAGE)
    assert [mail.rcpt_tos for mail in mailbox.mails] == [["me@example.org"], ["you@example.org"]]


def test_a_wrong_password_is_named_and_not_shown(mail_server: tuple[Mailbox, int], mailbox: Mailbox) -> None:
    with pytest.raises(ConnectionError, match=r"^the service answered 535$"):
        sender(mail_server[1], "wrong").send(MESSAGE)
    assert not mailbox.mails


def test_a_server_that_is_off_and_one_without_tls_are_named(mail_server: tuple[Mailbox, int]) -> None:
    with pytest.raises(ConnectionError, match=r"^Connection refused$"):
        sender(free_port()).send(MESSAGE)
    with pytest.raises(ConnectionError, match=r"^the service has no STARTTLS"):
        sender(mail_server[1], mode="starttls").send(MESSAGE)


@pytest.mark.parametrize(
    ("issue", "reason"),
    [
        (lambda ca, now: ca.issue_cert("127.0.0.1", not_after=now - timedelta(days=1)), "has expired"),
        (lambda ca, _: ca.issue_cert("example.org"), "is for another name"),
    ],
    ids=["expired", "another name"],
)
def test_a_wrong_certificate_of_a_mail_server_is_named_and_a_renewed_one_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    issue: Callable[[trustme.CA, datetime], trustme.LeafCert],
    reason: str,
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusted = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    issue(authority, datetime.now(UTC)).configure_cert(context)
    with serving(context) as (mailbox, port):
        sending = sender(port, mode="starttls")
        with pytest.raises(ConnectionError, match=reason):
            sending.send(MESSAGE)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        sending.send(MESSAGE)
        assert len(mailbox.mails) == 1
