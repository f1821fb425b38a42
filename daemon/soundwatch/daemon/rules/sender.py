"""Interface of a destination of messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.rules.message import Message


class MessageRefusedError(SinkError):
    """A service refuses one message for its content; the next message may be accepted."""


class RecipientRefusedError(MessageRefusedError):
    """A service has accepted a message for some of its recipients, and refuses the others."""


class MessageSender(Protocol):
    """An open destination."""

    def send(self, message: Message) -> None:
        """Send a message; when it returns, the service has accepted it.

        Raises:
            OSError: The message may not have arrived, and is sent again later.
            MessageRefusedError: The service refuses the message.
        """

    def close(self) -> None:
        """Release resources. A second call does nothing."""


@dataclass(frozen=True, slots=True)
class PreparedTarget:
    """A destination whose words are checked and that is not open yet.

    Attributes:
        name: Name without secrets.
        open: Opens the destination. It may raise `SinkError` or `OSError`.
        check: Raises where `open` would, and opens nothing.
    """

    name: str
    open: Callable[[], MessageSender]
    check: Callable[[], object]
