from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture import Demo, Recording, open_source
from soundwatch.daemon.capture.portaudio import microphone
from soundwatch.daemon.capture.portaudio.devices import Device
from soundwatch.daemon.core.errors import ConfigError, SourceError

DESK = (
    Device(0, "USB PnP", "ALSA", 1, 48_000, True, "USB PnP"),
    Device(4, "pulse", "ALSA", 32, 44_100, False, "pulse"),
)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Provide two microphones, and record which are opened."""
    log: list[str] = []
    monkeypatch.setattr(microphone, "list_devices", lambda: DESK)
    monkeypatch.setattr(microphone, "call_portaudio", lambda doing, _: log.append(doing))
    return log


def test_demo_is_the_demo() -> None:
    assert isinstance(open_source("x", "demo"), Demo)


@pytest.mark.parametrize(("device", "message"), [("USB", "Opening USB PnP, ALSA"), (4, "Opening pulse, ALSA")])
def test_anything_else_is_a_microphone(opened: list[str], device: str | int, message: str) -> None:
    source = open_source("mic0", device)
    assert opened == [message]
    assert source.info.channels == min(2, DESK[0 if device == "USB" else 1].channels)


def test_a_number_is_an_index_even_where_a_file_is_called_so(
    opened: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("4").touch()
    open_source("mic0", "4", channels=1)
    assert opened == ["Opening pulse, ALSA"]


def test_more_channels_than_the_device_has_are_refused(opened: list[str]) -> None:
    with pytest.raises(
        SourceError, match=r"USB PnP has 1 channel, and `channels` asks for 2, .* Set 1 or left, or remove"
    ):
        open_source("mic0", "USB", channels=2)
    assert opened == []


def test_an_existing_file_is_a_recording_with_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("yard", np.zeros((10, 1)), 8_000, format="WAV")
    assert isinstance(open_source("x", "yard"), Recording)


@pytest.mark.parametrize("device", ["yard.wav", "Yard.FLAC", "./yard", "/nowhere/yard", "clip.m4a"])
def test_a_file_name_is_not_looked_up_among_the_microphones(device: str) -> None:
    with pytest.raises(SourceError, match="There is no file"):
        open_source("x", device)


def test_a_wrong_pcm_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="PCM format 'cd' was given"):
        open_source("x", "-", pcm="cd")


LISTEN = """
import signal, sys
from soundwatch.daemon.capture import open_source
source = open_source("x", sys.argv[1], pcm="u8,8000,1")
signal.signal(signal.SIGTERM, lambda *_: source.stop())
samples = 0
for block in source.blocks():
    if not samples:
        print("listening", flush=True)
    samples += block.samples.shape[1]
print(samples)
"""


@pytest.mark.slow
def test_a_dash_is_standard_input() -> None:
    done = subprocess.run([sys.executable, "-c", LISTEN, "-"], input=bytes(4321), capture_output=True, check=True)
    assert done.stdout.split() == [b"listening", b"4321"]


@pytest.mark.slow
def test_a_closed_standard_input_is_an_error(tmp_path: Path) -> None:
    command = (
        f"\"{sys.executable}\" -c \"from soundwatch.daemon.capture import open_source; open_source('x', '-')\" <&-"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    assert "Raw samples were expected on standard input, which is closed" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
@pytest.mark.parametrize("device", ["-", "demo"])
def test_a_signal_handler_may_stop_a_source_that_waits_and_the_process_ends(device: str) -> None:
    listener = subprocess.Popen(
        [sys.executable, "-c", LISTEN, device], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert listener.stdin is not None
    assert listener.stdout is not None
    listener.stdin.write(bytes(1000))
    listener.stdin.flush()
    listener.stdout.readline()
    listener.send_signal(signal.SIGTERM)
    assert listener.wait(timeout=30) == 0
    assert listener.stderr is not None
    assert listener.stderr.read() == b""
    for pipe in (listener.stdin, listener.stdout, listener.stderr):
        pipe.close()


@pytest.mark.slow
def test_importing_the_package_loads_no_portaudio() -> None:
    code = "import sys, soundwatch.daemon.capture; sys.exit('sounddevice' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
