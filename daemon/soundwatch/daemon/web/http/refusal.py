"""Refusal of a request: its HTTP status, and the reason as one sentence.

Does not: write the response (`web/http/refusal_response.py`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from soundwatch.daemon.core.languages.language import Sentence


class RequestRefused(Exception):  # noqa: N818  # not an error of the program
    """A request is refused.

    Args:
        status: HTTP status.
        error: Reason, as a sentence; a `Sentence` is sent in the language of the request.
        headers: Additional response headers.
    """

    def __init__(self, status: int, error: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.headers = headers or {}


@contextmanager
def journal_written() -> Iterator[None]:
    """Refuse the request if the journal cannot be written within the context.

    Raises:
        RequestRefused: SQLite has failed.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise RequestRefused(503, Sentence("The journal cannot be written: {reason}.", reason=str(error))) from error
