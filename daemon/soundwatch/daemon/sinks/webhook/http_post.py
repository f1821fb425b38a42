"""POST requests with one deadline over look-up, connection, request and the head of the answer.

Conventions: each request runs in its own thread, so that the deadline holds even where a resolver hangs or a
server sends one byte at a time. The status counts as soon as the head has arrived; the body is read for `DRAIN_S` at
most, and only so that the connection can be used again. Informational answers (102, 103) are skipped. Redirects are not
followed, certificates are checked.
Does not: decide what a status means (`sinks/webhook/sink.py`).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPResponse, parse_headers
from http.client import HTTPConnection as PlainConnection
from typing import Final
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from soundwatch.daemon.core.network.tls_fault import tls_fault_text

DRAIN_S: Final = 0.5
READ_BYTES: Final = 65_536
REDIRECTS: Final = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Answer:
    """Head of an answer.

    Attributes:
        status: Status code.
        reason: Text of the status.
        retry_after: Value of the header `Retry-After`; None where it is missing.
        redirects: Whether the answer names another address.
    """

    status: int
    reason: str
    retry_after: str | None
    redirects: bool


class HttpPoster:
    """Posts to one URL, over one connection at a time.

    Args:
        url: The URL; it is never part of an error.
        tls: Context that checks the server's certificate.
        timeout_s: Deadline of a request.
    """

    def __init__(self, url: str, tls: ssl.SSLContext, timeout_s: float) -> None:
        self._url = url
        self._tls = tls
        self._timeout_s = timeout_s
        self._connection: HTTPConnection | None = None  # the one that the next request can use
        self._request: _Request | None = None
        self._closed = False

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post a body and return the head of the answer.

        Raises:
            OSError: No answer came within the deadline.
        """
        kept, self._connection = self._connection, None
        connection = kept if kept is not None and kept.is_connected else self._new_connection()
        self._request = request = _Request(connection, urllib3.util.parse_url(self._url).request_uri, body, headers)
        if self._closed:
            request.abort()
        threading.Thread(target=request.run, name="webhook request", daemon=True).start()
        if not request.has_head.wait(self._timeout_s):
            request.abort()
            raise TimeoutError(f"the request timed out: no answer within {self._timeout_s:g} s")
        if request.answer is None:
            raise ConnectionError(self._without_url(request.error))
        if request.done.wait(DRAIN_S) and request.reusable:
            self._connection = connection
        else:
            request.abort()
        return request.answer

    def close(self) -> None:
        """End the request that is under way, and close the connection."""
        self._closed = True
        if self._request is not None:
            self._request.abort()
        if self._connection is not None:
            self._connection.close()

    def _new_connection(self) -> HTTPConnection:
        try:
            url = urllib3.util.parse_url(self._url)
        except urllib3.exceptions.LocationParseError as error:
            raise OSError("the address cannot be parsed") from error
        host = (url.host or "").strip("[]")
        connection = (
            HTTPSConnection(host, url.port or 443, timeout=self._timeout_s, ssl_context=self._tls)
            if url.scheme == "https"
            else HTTPConnection(host, url.port or 80, timeout=self._timeout_s)
        )
        connection.response_class = _FinalResponse  # urllib3 wraps it in its own class
        return connection

    def _without_url(self, error: Exception | None) -> str:
        """Return the text of an error without the secrets of the URL."""
        if type(error) is BadStatusLine:  # its text is what came, perhaps of another protocol
            return "the server does not answer as a web server does; check the port of the address"
        if (fault := tls_fault_text(str(error))) is not None:
            return fault
        path = urlsplit(self._url)._replace(scheme="", netloc="").geturl()
        text = str(error) or type(error).__name__
        if isinstance(error, urllib3.exceptions.NewConnectionError):  # it begins with the connection's address
            text = text.rpartition(": ")[2]
        return text.replace(self._url, "...").replace(path, "...") if len(path) > 1 else text


class _FinalResponse(HTTPResponse):
    """The final answer to a request; `http.client` skips no informational answer but 100.

    Source: httpwg.org/specs/rfc9110.html#status.1xx. 101 is final: this client asks for no other protocol.
    """

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]  # not in the type stubs
            if not 101 < status < 200:
                return version, status, reason
            parse_headers(self.fp)


class _Request:
    """One request, and what has come of it.

    Attributes:
        has_head: Set once the head of the answer is there, or an error.
        done: Set at the end.
        answer: Head of the answer; None where there is none.
        error: Cause of that.
        reusable: Whether the connection can take another request.
    """

    def __init__(self, connection: HTTPConnection, target: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.has_head = threading.Event()
        self.done = threading.Event()
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self.reusable = False
        self._connection = connection
        self._socket: socket.socket | None = None
        self._target = target
        self._body = body
        self._headers = headers
        self._aborted = False

    def run(self) -> None:
        """Send the request and read the answer."""
        try:
            self._exchange()
        except Exception as error:  # noqa: BLE001  # raised again in the sink's thread, which waits for it
            self.error = error
        finally:
            self.has_head.set()
            self.done.set()
            if not self.reusable:
                self._connection.close()

    def abort(self) -> None:
        """End the request from another thread."""
        self._aborted = True
        if (connected := self._socket or self._connection.sock) is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)  # the thread that waits for it wakes

    def _exchange(self) -> None:
        connection = self._connection
        if not connection.is_connected:
            connection.connect()
        self._socket = connection.sock  # `http.client` forgets it where an answer ends with the connection
        if self._aborted:
            raise InterruptedError("the request was ended")
        connection.request("POST", self._target, body=self._body, headers=self._headers, preload_content=False)
        # urllib3 refuses an answer with two lengths, whatever its status
        with PlainConnection.getresponse(connection) as response:
            redirects = response.status in REDIRECTS and "Location" in response.headers
            self.answer = Answer(response.status, response.reason or "", response.headers.get("Retry-After"), redirects)
            self.has_head.set()
            has_one_length = len(response.headers.get_all("Content-Length", [])) < 2
            read_bytes = len(response.read(READ_BYTES))
            self.reusable = read_bytes < READ_BYTES and response.isclosed() and has_one_length and not self._aborted
