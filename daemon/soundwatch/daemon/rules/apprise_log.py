"""Causes of failures from Apprise's log.

Conventions: entries hold addresses, tokens and answers of services, so an entry is never shown. Only known causes are
recognized in it: the status of HTTP or SMTP, a failure of TLS, an error of the system, a time-out.
Rule: statuses in `LASTING` refuse a message or a recipient, which no repetition changes; any other failure may pass,
except that of some recipients of one mail, which would go to the others again.
Source: httpwg.org/specs/rfc9110.html#status.codes; RFC 5321, section 4.2.3.
Does not: send (`rules/apprise_target.py`).
"""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import threading
from typing import Final

from soundwatch.daemon.core.network.tls_fault import tls_fault_text

_HTTP_STATUS: Final = re.compile(r"error=(\d{3})(?:\d{2})?\b")  # ntfy adds two digits
_SMTP_STATUS: Final = re.compile(r"\((\d{3}), b['\"]")
_SMTP_SOME: Final = re.compile(r"\bwas refused: (\d{3}) b['\"]")  # of a mail that other recipients got, as those of cc
LASTING: Final = (400, 403, 404, 410, 413, 422, 550, 551, 552, 553, 554, 556)
_SYSTEM_ERROR: Final = re.compile(r"\[Errno (-?\d+)\]")
_CAUSES: Final = {
    "Failed to resolve": "the name of the service cannot be resolved",
    "timed out": "the service did not answer in time",
    "Connection unexpectedly closed": "the service closed the connection",
    "Connection aborted": "the service closed the connection",
    "STARTTLS extension not supported": "the service has no STARTTLS; use another port, or mode=ssl",
    "AUTH extension not supported": "the service takes no user name and password; check the port and the mode",
}


class FailureRecords(logging.Handler):
    """Apprise's log while one message is sent, from one thread; nothing of it is printed or kept.

    Attributes:
        status: Status of HTTP or SMTP; None for none.
        cause: Known cause without a status; None for none.
        some_accepted: Whether a mail was accepted for some of its recipients.
        may_pass: Whether a failure may pass.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._thread = threading.get_ident()
        self.status: int | None = None
        self.cause: str | None = None
        self.some_accepted = False
        self.may_pass = False

    def emit(self, record: logging.LogRecord) -> None:
        """Take the status or the cause of a failure from an entry."""
        if record.thread != self._thread:
            return
        text = record.getMessage()
        if found := _SMTP_SOME.search(text):
            self.status, self.some_accepted = int(found[1]), True
        elif found := _HTTP_STATUS.search(text) or _SMTP_STATUS.search(text):
            self.status = int(found[1])
            self.may_pass |= self.status not in LASTING
        elif "Exception" in text and "Response Details" not in text:  # that is an answer of the service
            self.cause = known_cause(text) or self.cause
            self.may_pass = True

    def __enter__(self) -> FailureRecords:
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)


def known_cause(text: str) -> str | None:
    """Return the cause of a failure in the text of an error; None for a text about anything else."""
    if fault := tls_fault_text(text):
        return fault
    if cause := next((cause for part, cause in _CAUSES.items() if part in text), None):
        return cause
    if found := _SYSTEM_ERROR.search(text):
        number = int(found[1])
        if number in errno.errorcode:
            return os.strerror(number)
        if number == socket.EAI_NONAME:
            return "the name of the service cannot be resolved"
    return None
