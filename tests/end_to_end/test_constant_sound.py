"""A sound that does not end: its events continue each other, and a chat reads of it once."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import soundfile

from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH
from support.fakes import tone

pytestmark = pytest.mark.slow


@pytest.fixture
def chat() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A chat service: its address, and what was posted to it."""
    posted: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", posted
        server.shutdown()


def test_a_constant_sound_is_one_message_to_a_chat_and_a_chain_of_events(
    tmp_path: Path, chat: tuple[str, list[dict[str, object]]]
) -> None:
    url, posted = chat
    soundfile.write(tmp_path / "tone.wav", tone(300, 6.0, 16_000).T, 16_000)
    model, events = write_band_model(tmp_path / "bands.onnx"), tmp_path / "events.jsonl"
    config = tmp_path / "config.yaml"
    config.write_text(
        f"sources: {{mic0: {{device: {tmp_path}/tone.wav}}}}\nmodel: {{file: {model}}}\n"
        "detection: {min_duration_s: 0.1, cooldown_s: 0.1, max_duration_s: 1.0}\n"
        f"journal: {{path: {tmp_path}/journal.db}}\nsinks: ['json:{events}', 'webhook:{url},template=slack']\n"
    )
    subprocess.run([SOUNDWATCH, "run", "--config", str(config)], check=True, capture_output=True, timeout=300)
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    starts = [line for line in lines if line["type"] == "start"]
    assert len(starts) >= 3
    assert "continues" not in starts[0]
    assert [start["continues"] for start in starts[1:]] == [start["id"] for start in starts[:-1]]
    ends = {line["id"]: line["reason"] for line in lines if line["type"] == "end"}
    assert {ends[start["id"]] for start in starts[:-1]} == {"max_duration"}
    assert len(posted) == 1
    assert "low" in str(posted[0]["text"])
