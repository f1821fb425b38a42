"""Environment in which Ray starts a cluster of this machine alone.

Conventions: with usage reporting off, Ray 2.60 still asks for its cloud's name when a cluster starts: a DNS query for
`metadata.google.internal` and requests to 169.254.169.254. No setting of Ray switches that off. All of Ray's HTTP goes
through `requests`, which honors `http_proxy`, so that Ray's processes get a proxy at a port where nothing listens.
gRPC, which Ray's processes speak with each other, takes no proxy. Workers inherit the proxy; no task of ours makes
an HTTP request. Ray also writes an access token to `~/.ray` unless
it has one; it gets one that lives as long as this process.
Does not: concern clusters that the user started; those have their own environment.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NO_PROXY: Final = "http://127.0.0.1:9"  # the port of the discard service, which is unused on today's systems
_PROXIES: Final = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
_EXCEPTIONS: Final = ("no_proxy", "NO_PROXY")
_TOKEN: Final = "RAY_AUTH_TOKEN"  # noqa: S105 -- the variable's name
_TOKEN_SETTINGS: Final = (_TOKEN, "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE")


@contextmanager
def local_cluster_environment() -> Iterator[None]:
    """Set what the processes of a new cluster inherit, and restore all but the token afterwards."""
    if not any(os.environ.get(name) for name in _TOKEN_SETTINGS):
        os.environ[_TOKEN] = secrets.token_hex(32)
    before = {name: os.environ.pop(name) for name in (*_PROXIES, *_EXCEPTIONS) if name in os.environ}
    os.environ.update(dict.fromkeys(_PROXIES, NO_PROXY))
    try:
        yield
    finally:
        for name in _PROXIES:
            os.environ.pop(name, None)
        os.environ.update(before)
