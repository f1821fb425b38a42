"""Listening socket of the page, and why it cannot be had.

Does not: limit connections (`limited_listener.py`), or serve.
"""

from __future__ import annotations

import errno
import socket

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.web.http.settings import Settings


def bound_socket(settings: Settings) -> socket.socket:
    """Return a listening socket of the page's address.

    Raises:
        SinkError: The address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except (OSError, OverflowError) as error:
        raise SinkError(f"{settings.url} cannot be bound: {_reason(error)}. {_advice(settings, error)}") from error


def _reason(error: OSError | OverflowError) -> str:
    """Return the system's text of an error, without the address, which Python adds in parentheses."""
    text = getattr(error, "strerror", None) or str(error)
    return str(text).partition(" (while attempting")[0].rstrip(".")


def _advice(settings: Settings, error: OSError | OverflowError) -> str:
    number = getattr(error, "errno", None) or 0
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    if number < 0 or number in (errno.EADDRNOTAVAIL, errno.EINVAL):  # negative: the name has no address
        every = f"http://0.0.0.0:{settings.port}"
        return f"No network of this machine has this address now; give -F {every} for the addresses of all."
    if number in (errno.EACCES, errno.EPERM):
        return f"The system reserves ports, as those below 1024; give another one with -F http://{host}:PORT."
    return f"If another program has this port, perhaps another soundwatch, give another one with -F http://{host}:PORT."
