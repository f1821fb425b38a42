"""Live sound of a source for listeners at the page.

Conventions: mono, 16 bits, at the rate of the source: Opus in WebM by ffmpeg, or WAV where ffmpeg is not installed
or fails. The queue of a listener holds `QUEUED_S` of sound; beyond that the oldest block is dropped and counted.
Rule: only a source with `listen: true`, and only with a token, also on loopback. Each start and end is logged. Sound is
not stored.
Rule for the end: with the listener, with the key, or when the source delivers no sound.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import struct
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from soundwatch.daemon.core.languages.language import Sentence
from soundwatch.daemon.core.text.messages import failure_text
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.web.http.disconnect import http_disconnect, until_first
from soundwatch.daemon.web.http.middleware import is_authenticated
from soundwatch.daemon.web.http.refusal import RequestRefused
from soundwatch.daemon.web.http.settings import Settings
from soundwatch.daemon.web.live.listener_queue import ListenerQueue

MAX_LISTENERS: Final = 4
SILENT_S: Final = 5.0
ENCODER_S: Final = 5.0
CHUNK_BYTES: Final = 16_384
LOGIN_NEEDED: Final = Sentence(
    "Sources can be listened to only with a token. Add ,token_file=FILE to the page's address, or set "
    "SOUNDWATCH_TOKEN, restart soundwatch and log in."
)
_OPUS: Final = ("-c:a", "libopus", "-b:a", "48k", "-f", "webm", "-live", "1", "-cluster_time_limit", "100")


class Listening:
    """Endpoint of the live sound.

    Args:
        view: State of the daemon.
        settings: Settings of the server.
    """

    def __init__(self, view: DaemonView, settings: Settings) -> None:
        self._view = view
        self._settings = settings
        self._queues: set[ListenerQueue] = set()

    def close(self) -> None:
        """End the sound of all listeners, since the program ends."""
        for queue in self._queues:
            queue.end()

    async def listen(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the sound of a source until the listener or the source ends.

        Raises:
            RequestRefused: The request has no token, the source may not be listened to or delivers no sound, or there
                are too many listeners.
        """
        name: str = scope["path_params"]["name"]
        self._check(name, Headers(scope=scope))
        queue = ListenerQueue(asyncio.get_running_loop())
        unsubscribe = self._view.live.subscribe_sound(name, queue.put)
        started_s = time.monotonic()
        self._queues.add(queue)
        try:
            first = await queue.next(SILENT_S)
            if first is None:
                raise RequestRefused(
                    503, Sentence("{source} delivers no sound now.", source=name), {"Retry-After": "10"}
                )
            opus = await self._start_opus(name, queue, first)
            encoding = "wav" if opus is None else "opus"
            self._view.log.info("listening_started", source=name, encoding=encoding)
            try:
                media_type = b"audio/wav" if opus is None else b"audio/webm"
                headers = [(b"content-type", media_type), (b"cache-control", b"no-store")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                chunks = _wav(queue.rate_hz, self._sound(name, queue, first)) if opus is None else _joined(*opus)
                await _send_until(chunks, receive, send)
            finally:
                if opus is not None:
                    await opus[1].aclose()
                listened_s = round(time.monotonic() - started_s, 1)
                self._view.log.info(
                    "listening_ended", source=name, duration_s=listened_s, lost_blocks=queue.lost_blocks
                )
        finally:
            self._queues.discard(queue)
            unsubscribe()

    async def _start_opus(
        self, name: str, queue: ListenerQueue, first: bytes
    ) -> tuple[bytes, AsyncGenerator[bytes]] | None:
        """Start the encoder; return its first chunk and the others, None if ffmpeg is not installed or fails."""
        ffmpeg = shutil.which("ffmpeg")
        if ffmpeg is None:
            return None
        chunks = _opus(ffmpeg, queue.rate_hz, self._sound(name, queue, first))
        try:
            async with asyncio.timeout(ENCODER_S):
                return await anext(chunks), chunks
        except (OSError, StopAsyncIteration, TimeoutError) as error:
            await chunks.aclose()
            silent = isinstance(error, StopAsyncIteration | TimeoutError)  # a TimeoutError is an OSError
            reason = "it gave no sound" if silent else failure_text(error)
            self._view.log.warning("listening_encoder_failed", source=name, program=ffmpeg, error=reason)
            return None

    def _check(self, name: str, headers: Headers) -> None:
        if not is_authenticated(headers, self._settings):
            raise RequestRefused(403, LOGIN_NEEDED)
        if name not in self._view.status.snapshot.sources:
            raise RequestRefused(404, Sentence("No source has this name."))
        if not may_listen(self._view, name):
            raise RequestRefused(403, Sentence("{key} is not true in the configuration.", key=f"sources.{name}.listen"))
        if sum(self._view.live.listeners(source) for source in self._view.status.snapshot.sources) >= MAX_LISTENERS:
            raise RequestRefused(503, Sentence("Too many listeners; try again later."), {"Retry-After": "10"})

    async def _sound(self, name: str, queue: ListenerQueue, first: bytes) -> AsyncIterator[bytes]:
        block: bytes | None = first
        while block is not None and may_listen(self._view, name):
            yield block
            block = await queue.next(SILENT_S)


def may_listen(view: DaemonView, source: str) -> bool:
    """Return True if the configuration allows to listen to a source."""
    configured = view.config().sources.get(source)
    return configured is not None and configured.listen


async def _wav(rate_hz: int, sound: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a WAV file without an end."""
    unknown = 0xFFFFFFFF
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", unknown, b"WAVE", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    yield head + struct.pack("<4sI", b"data", unknown)
    async for block in sound:
        yield block


async def _opus(ffmpeg: str, rate_hz: int, sound: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Yield Opus in WebM; ffmpeg ends with the iterator."""
    options = ("-nostdin", "-hide_banner", "-loglevel", "quiet", "-probesize", "32", "-analyzeduration", "0")
    given = ("-f", "s16le", "-ar", str(rate_hz), "-ac", "1", "-i", "pipe:0")
    process = await asyncio.create_subprocess_exec(
        ffmpeg, *options, *given, *_OPUS, "-flush_packets", "1", "pipe:1",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    feeding = asyncio.create_task(_feed(process.stdin, sound))
    try:
        while chunk := await process.stdout.read(CHUNK_BYTES):
            yield chunk
    finally:
        feeding.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.gather(feeding, process.wait(), return_exceptions=True)


async def _joined(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a chunk and those after it."""
    yield first
    async for chunk in others:
        yield chunk


async def _feed(stdin: asyncio.StreamWriter, sound: AsyncIterator[bytes]) -> None:
    with contextlib.suppress(ConnectionError):  # ffmpeg has ended
        async for block in sound:
            stdin.write(block)
            await stdin.drain()
    stdin.close()


async def _send_until(chunks: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Send chunks until they end or the client disconnects."""

    async def send_all() -> None:
        async with contextlib.aclosing(chunks) as given:  # type: ignore[type-var]  # generators, which can be closed
            async for chunk in given:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    await until_first(send_all(), http_disconnect(receive))
