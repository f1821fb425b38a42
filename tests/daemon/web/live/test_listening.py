"""Live sound of a source: who may listen, what is sent, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.status.live import LiveFeed
from soundwatch.daemon.web.live import listening
from soundwatch.daemon.web.live.listener_queue import ListenerQueue
from support.live_tone import BLOCK_SAMPLES, RATE_HZ, live_tone, tone_block
from support.web_harness import TOKEN, Site, a_site, wait_until, write_token

LISTEN = "/api/sources/mic0/listen"
LOGGED_IN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    config = Config(sources={"mic0": SourceConfig(listen=True), "yard": SourceConfig()})
    with a_site(f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}", config=config) as site:
        yield site


def heard(site: Site, size_bytes: int) -> tuple[str, bytes]:
    """Return the type and the first bytes of the sound."""
    found = io.BytesIO()
    with site.client(headers=LOGGED_IN) as client, client.stream("GET", LISTEN) as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_bytes():
            found.write(chunk)
            if found.tell() >= size_bytes:
                break
    return answer.headers["content-type"], found.getvalue()


def test_a_source_is_heard_only_where_it_is_allowed_and_with_a_token(site: Site) -> None:
    assert site.get(LISTEN).status_code == 401
    refused = site.get("/api/sources/yard/listen", headers=LOGGED_IN)
    assert (refused.status_code, refused.json()["error"]) == (
        403,
        "sources.yard.listen is not true in the configuration.",
    )
    assert site.get("/api/sources/cellar/listen", headers=LOGGED_IN).status_code == 404
    allowed = {
        source["name"]: source["listen"] for source in site.get("/api/sources", headers=LOGGED_IN).json()["sources"]
    }
    assert allowed == {"mic0": True, "yard": False}
    with a_site(config=Config(sources={"mic0": SourceConfig(listen=True)})) as without_token:
        refused = without_token.get(LISTEN)
        assert (refused.status_code, "only with a token" in refused.json()["error"]) == (403, True)
        assert not any(source["listen"] for source in without_token.get("/api/sources").json()["sources"])


def test_without_an_encoder_the_sound_is_sent_as_wav_and_is_logged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with live_tone(site.view.live, "mic0"):
        type_, sound = heard(site, 44 + 4 * BLOCK_SAMPLES)
        wait_until(lambda: site.view.live.listeners("mic0") == 0)
    assert (type_, sound[:4], sound[8:12]) == ("audio/wav", b"RIFF", b"WAVE")
    samples = np.frombuffer(sound[44 : 44 + 4 * BLOCK_SAMPLES], "<i2").astype(float)
    assert np.argmax(np.abs(np.fft.rfft(samples))) * RATE_HZ / samples.size == pytest.approx(1000, abs=10)
    wait_until(lambda: "listening_ended" in site.log.events)
    assert site.log.fields("listening_started") == [{"source": "mic0", "encoding": "wav"}]
    assert site.log.fields("listening_ended")[0]["lost_blocks"] == 0


@pytest.mark.parametrize(
    ("script", "error"),
    [("exit 1", "it gave no sound"), ("exec cat > /dev/null", "it gave no sound"), (None, "No such file or directory")],
)
def test_an_encoder_that_fails_costs_no_sound_and_is_logged(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, error: str
) -> None:
    program = tmp_path / "ffmpeg"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(program))
    monkeypatch.setattr(listening, "ENCODER_S", 0.2)
    with live_tone(site.view.live, "mic0"):
        type_, sound = heard(site, 44 + BLOCK_SAMPLES)
    assert (type_, sound[:4]) == ("audio/wav", b"RIFF")
    [failure] = site.log.fields("listening_encoder_failed")
    assert failure == {"source": "mic0", "program": str(program), "error": error}
    assert site.log.fields("listening_started") == [{"source": "mic0", "encoding": "wav"}]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg")
def test_with_ffmpeg_the_sound_is_sent_as_opus_and_is_counted(site: Site) -> None:
    with live_tone(site.view.live, "mic0"), site.client(headers=LOGGED_IN) as client:
        with client.stream("GET", LISTEN) as answer:
            assert answer.headers["content-type"] == "audio/webm"
            assert next(answer.iter_bytes())[:4] == b"\x1aE\xdf\xa3", "the magic number of Matroska"
            sources = site.get("/api/sources", headers=LOGGED_IN).json()["sources"]
            assert [source["listeners"] for source in sources] == [1, 0]
        wait_until(lambda: site.view.live.listeners("mic0") == 0)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg")
def test_the_sound_and_its_encoder_end_with_the_program(tmp_path: Path) -> None:
    config = Config(sources={"mic0": SourceConfig(listen=True)})
    with contextlib.ExitStack() as clients:
        word = f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}"
        with a_site(word, config=config) as site, live_tone(site.view.live, "mic0"):
            client = clients.enter_context(site.client(headers=LOGGED_IN))
            chunks = clients.enter_context(client.stream("GET", LISTEN)).iter_bytes()
            assert next(chunks)
        assert b"".join(chunks), "the rest of the sound, up to its regular end"
    assert site.log.events.count("listening_ended") == 1


def test_a_source_without_sound_and_a_fifth_listener_are_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "SILENT_S", 0.05)
    assert site.get(LISTEN, headers=LOGGED_IN).status_code == 503
    ends = [site.view.live.subscribe_sound("mic0", lambda _: None) for _ in range(listening.MAX_LISTENERS)]
    refused: httpx.Response = site.get(LISTEN, headers=LOGGED_IN)
    assert (refused.status_code, refused.json()["error"]) == (503, "Too many listeners; try again later.")
    for end in ends:
        end()
        end()
    assert site.view.live.listeners("mic0") == 0


def test_a_slow_listener_loses_the_oldest_sound_which_is_counted() -> None:
    async def run() -> tuple[int, bytes | None]:
        queue = ListenerQueue(asyncio.get_running_loop())
        for number in range(14):
            queue.put(tone_block(number))
        return queue.lost_blocks, await queue.next(1.0)

    lost, found = asyncio.run(run())
    assert lost == 4
    assert found is not None
    assert len(found) == 2 * 10 * BLOCK_SAMPLES


def test_another_rate_ends_the_sound() -> None:
    async def run() -> list[bytes | None]:
        queue = ListenerQueue(asyncio.get_running_loop())
        queue.put(tone_block(0))
        queue.put(tone_block(1, rate_hz=48_000))
        queue.put(tone_block(2))
        return [await queue.next(1.0) for _ in range(2)]

    first, second = asyncio.run(run())
    assert first is not None
    assert (len(first), second) == (2 * BLOCK_SAMPLES, None)


def test_sound_goes_to_the_listeners_of_its_source_only() -> None:
    live, got = LiveFeed(), list[int]()
    live.subscribe_sound("mic0", lambda block: got.append(block.first_sample))
    live.publish_sound("mic0", tone_block(1))
    live.publish_sound("yard", tone_block(2))
    assert got == [BLOCK_SAMPLES]
