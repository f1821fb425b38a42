"""The sources of docs/source-recipes.md: servers of the kinds that people have, and the devices that the page shows."""

from __future__ import annotations

import http.server
import re
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from soundwatch.daemon.capture import open_live_source, open_source, source_kind
from soundwatch.daemon.capture.portaudio.devices import Device, match_devices
from soundwatch.daemon.core.records.block import Block, Samples
from soundwatch.daemon.core.records.source import LiveSource, SourceStateChange
from support.fakes import tone
from support.ports import free_port
from support.virtual_microphone import VirtualMicrophone

RATE_HZ = 16_000
PAGE = Path(__file__).resolve().parents[3] / "docs" / "source-recipes.md"


def sound_until_lost(source: LiveSource) -> Samples:
    blocks = list[Block]()
    for item in source.blocks():
        if isinstance(item, Block):
            blocks.append(item)
        elif isinstance(item, SourceStateChange) and item.state == "lost":
            source.stop()
    return np.concatenate([block.samples for block in blocks], axis=1)


def frequency_hz(samples: Samples, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples[0]))
    return float(np.argmax(spectrum) * rate_hz / samples.shape[1])


def test_the_devices_of_the_page_are_of_their_kinds() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)
    sources = [source for block in blocks for source in yaml.safe_load(block)["sources"].values()]
    kinds = [source_kind(source["device"]).name for source in sources]
    assert kinds == ["udp", "wyoming", "url", "url", "url", "microphone", "microphone", "microphone"]


@pytest.mark.parametrize(("pcm", "full_scale", "kind"), [("s16le", 2**15, "<i2"), ("s32le", 2**31, "<i4")])
def test_datagrams_of_a_microcontroller_are_its_sound(pcm: str, full_scale: int, kind: str) -> None:
    port = free_port()
    source = open_source("shed", f"pcm+udp://127.0.0.1:{port}", pcm=f"{pcm},{RATE_HZ},1")
    sound = tone(500, 0.1, RATE_HZ)
    frames = (sound[0] * (full_scale - 1)).astype(kind)
    received = list[Block]()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for start in range(0, len(frames), 320):  # 20 ms; one at a time, so none is dropped
            sender.sendto(frames[start : start + 320].tobytes(), ("127.0.0.1", port))
        for block in source.blocks():
            received.append(block)
            if sum(block.samples.shape[1] for block in received) == len(frames):
                source.stop()
    np.testing.assert_allclose(np.concatenate([block.samples for block in received], axis=1), sound, atol=1e-4)


class EndlessWav(http.server.BaseHTTPRequestHandler):
    """Sends what the app *IP Webcam* sends: a WAV file that claims the largest length, then samples as they come."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        self.end_headers()
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
        self.wfile.write(struct.pack("<4sI4s", b"RIFF", 0x7FFFFFFF, b"WAVE") + form + b"data\xff\xff\xff\x7f")
        self.wfile.write((tone(500, 1.0, RATE_HZ)[0] * 32767).astype("<i2").tobytes())

    def log_message(self, *_: object) -> None:
        """Write no access log."""


@pytest.fixture
def phone() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), EndlessWav) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/audio.wav"
        server.shutdown()
        thread.join()


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="URLs are read through ffmpeg")


@needs_ffmpeg
@pytest.mark.slow
def test_the_endless_wav_of_a_phone_is_its_sound(phone: str) -> None:
    sound = sound_until_lost(open_live_source("phone", phone, pcm=f"s16le,{RATE_HZ},1"))
    assert sound.shape[1] == pytest.approx(RATE_HZ, abs=RATE_HZ / 10)
    assert frequency_hz(sound, RATE_HZ) == pytest.approx(500, abs=2)


@needs_ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "encoder"),
    [
        ("api/stream.aac", ("-c:a", "aac", "-f", "adts")),  # go2rtc
        ("audio.opus", ("-c:a", "libopus", "-f", "ogg")),  # IP Webcam
    ],
    ids=["go2rtc", "IP Webcam"],
)
def test_compressed_sound_over_http_is_its_sound(path: str, encoder: tuple[str, ...]) -> None:
    address = f"http://127.0.0.1:{free_port()}/{path}"
    sine = ("-f", "lavfi", "-i", f"sine=frequency=500:sample_rate={RATE_HZ}:duration=1")
    source = open_live_source("yard", address, pcm=f"s16le,{RATE_HZ},1")
    with subprocess.Popen(
        ["ffmpeg", "-nostdin", "-loglevel", "error", *sine, *encoder, "-listen", "1", address]
    ) as server:
        sound = sound_until_lost(source)
        server.kill()
    assert sound.shape[1] == pytest.approx(RATE_HZ, abs=RATE_HZ / 5)
    assert frequency_hz(sound, RATE_HZ) == pytest.approx(500, abs=2)


def test_the_two_ends_of_the_loopback_of_alsa_are_chosen_by_their_whole_name() -> None:
    ends = [Device(index, f"Loopback: PCM (hw:0,{index})", "ALSA", 2, 48_000, False) for index in (0, 1)]
    assert match_devices(ends, "Loopback") == ends
    assert match_devices(ends, "Loopback: PCM (hw:0,1)") == [ends[1]]


@pytest.mark.slow
@pytest.mark.microphone
def test_a_headset_that_leaves_and_returns_with_another_rate_is_lost_and_back(
    virtual_microphone: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULSE_SERVER", virtual_microphone.env["PULSE_SERVER"])
    virtual_microphone.plug_in("bluez_input.00_11", 16_000)
    source = open_live_source("headset", "pulse:bluez_input.00_11.monitor")
    changes, rates = list[str](), list[int]()
    for item in source.blocks():
        if isinstance(item, SourceStateChange):
            changes.append(item.state)
            if item.state == "lost":
                virtual_microphone.plug_in("bluez_input.00_11", 8_000)
        elif isinstance(item, Block) and item.samples.shape[1]:
            if not rates:
                virtual_microphone.unplug("bluez_input.00_11")
            rates.append(item.rate_hz)
            if "back" in changes:
                source.stop()
    assert changes == ["lost", "back"]
    assert (rates[0], rates[-1]) == (16_000, 8_000)
