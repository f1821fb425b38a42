"""Ends a response with its client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

First = TypeVar("First")
Second = TypeVar("Second")


async def until_first(
    first: Awaitable[First], second: Awaitable[Second]
) -> tuple[asyncio.Future[First], asyncio.Future[Second]]:
    """Run both until one of them ends, and cancel the other; return both futures, which are done."""
    futures = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in futures:
            future.cancel()
        await asyncio.gather(*futures, return_exceptions=True)
    return futures


async def http_disconnect(receive: Receive) -> None:
    """Wait until an HTTP client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
