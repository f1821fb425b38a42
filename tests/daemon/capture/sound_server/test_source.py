"""Sources of a real sound server: losses, other servers' addresses, and what is no loss."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture import open_live_source
from soundwatch.daemon.capture.sound_server.devices import list_server_devices
from soundwatch.daemon.capture.sound_server.source import is_server_source, open_server_source
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import LiveSource, SourceStateChange
from support.mosquitto import wait_until
from support.ports import free_port
from support.virtual_microphone import RATE_HZ, VirtualMicrophone

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no PulseAudio")


@pytest.fixture
def server(virtual_microphone: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch) -> VirtualMicrophone:
    """A virtual microphone that this process uses."""
    monkeypatch.setenv("PULSE_SERVER", virtual_microphone.env["PULSE_SERVER"])
    return virtual_microphone


def test_only_pulse_and_its_names_are_sources_of_the_server() -> None:
    devices: tuple[str | int, ...] = ("pulse", "pulse:desk", "default", "pulseaudio", "Impulse", 2)
    assert [device for device in devices if is_server_source(device)] == ["pulse", "pulse:desk"]


def changes_until_back(
    source: LiveSource, at_sound: Callable[[], object], at_loss: Callable[[], object]
) -> tuple[list[SourceStateChange], list[Block]]:
    """Call `at_sound` at the second block and `at_loss` at the loss, and collect until the source is back."""
    changes: list[SourceStateChange] = []
    blocks: list[Block] = []
    for item in source.blocks():
        if isinstance(item, SourceStateChange):
            changes.append(item)
            if item.state == "lost":
                at_loss()
            elif item.state == "back":
                source.stop()
        elif isinstance(item, Block):
            blocks.append(item)
            if len(blocks) == 2:
                at_sound()
    return changes, blocks


@pytest.mark.slow
@pytest.mark.microphone
@pytest.mark.parametrize(("fault", "mend", "reason"), [("kill", "start", "ended"), ("stop", "cont", "stalled")])
def test_a_server_that_is_killed_or_hangs_is_used_again_and_the_gap_is_exact(
    server: VirtualMicrophone, fault: str, mend: str, reason: str
) -> None:
    source = open_live_source("mic0", "pulse:vmic.monitor")
    changes, blocks = changes_until_back(source, getattr(server, fault), getattr(server, mend))
    assert [(change.state, change.reason) for change in changes] == [("lost", reason), ("back", reason)]
    end_sample = 0
    for block in blocks:
        assert block.first_sample == end_sample + block.lost_samples
        end_sample = block.first_sample + block.samples.shape[1]
    lost_samples = sum(block.lost_samples for block in blocks)
    assert lost_samples / RATE_HZ == pytest.approx((changes[-1].missed_ns or 0) / 1e9, abs=0.001)


@pytest.mark.slow
@pytest.mark.microphone
def test_a_source_that_is_removed_or_suspended_is_lost_and_no_other_source_is_recorded(
    server: VirtualMicrophone,
) -> None:
    server.plug_in("yard", 16_000)
    listed = {device.device: (device.rate_hz, device.default, device.monitor) for device in list_server_devices()}
    assert listed == {"pulse:vmic.monitor": (RATE_HZ, True, True), "pulse:yard.monitor": (16_000, False, True)}
    source = open_server_source("mic0", "pulse:yard.monitor", None)
    suspended = open_server_source("mic1", "pulse:vmic.monitor", None)
    assert source.info.rate_hz == 16_000
    sound, other = source.blocks(), suspended.blocks()
    next(sound)
    next(other)
    source.gather_until(1 << 40)  # its end ends this wait, too
    server.unplug("yard")
    with pytest.raises(SourceError, match="it was removed: it was unplugged or switched off"):
        deque(islice(sound, 100), maxlen=0)
    server.ask("pactl", "suspend-sink", "vmic", "1")
    with pytest.raises(SourceError, match="the sound server has suspended it"):
        deque(islice(other, 100), maxlen=0)


@pytest.mark.slow
@pytest.mark.microphone
def test_a_source_is_not_moved_to_another_one_and_its_volume_is_no_loss(server: VirtualMicrophone) -> None:
    server.plug_in("yard")
    source = open_server_source("mic0", "pulse:vmic.monitor", 1)
    assert source.info.channels == 1
    sound = source.blocks()
    next(sound)
    stream = server.ask("pactl", "list", "short", "source-outputs").split()[0]
    for words in (
        ("move-source-output", stream, "yard.monitor"),
        ("set-source-volume", "vmic.monitor", "50%"),
        ("set-source-mute", "yard.monitor", "1"),
        ("set-default-source", "yard.monitor"),
    ):
        server.ask("pactl", *words)
        assert next(sound).lost_samples == 0
    outputs = server.ask("pactl", "list", "short", "source-outputs").split()
    sources = dict(line.split("\t")[1::-1] for line in server.ask("pactl", "list", "short", "sources").splitlines())
    assert outputs[:2] == [stream, sources["vmic.monitor"]]
    source.stop()
    assert list(sound) == []


@pytest.mark.slow
@pytest.mark.microphone
def test_a_server_on_the_network_asks_for_its_cookie(
    server: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = free_port()
    for name in ("right", "wrong"):
        (tmp_path / name).write_bytes(os.urandom(256))
    module = ("module-native-protocol-tcp", "listen=127.0.0.1", f"port={port}", f"auth-cookie={tmp_path}/right")
    server.ask("pactl", "load-module", *module)
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/none tcp:127.0.0.1:{port}")
    monkeypatch.setenv("PULSE_COOKIE", str(tmp_path / "wrong"))
    with pytest.raises(SourceError, match=rf"denies access with the cookie \S+/wrong \(tcp:127.0.0.1:{port}\)\. Check"):
        open_server_source("mic0", "pulse", None)
    monkeypatch.setenv("PULSE_COOKIE", str(tmp_path / "right"))
    source = open_server_source("mic0", "pulse", None)
    sound = source.blocks()
    assert source.info.description == "pulse, vmic.monitor"
    assert next(sound).samples.shape[0] == 2
    source.stop()
    assert list(sound) == []


@pytest.mark.slow
@pytest.mark.microphone
def test_sources_that_cannot_be_recorded_leave_no_file_and_no_thread(server: VirtualMicrophone) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system has no /proc/self/fd")

    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before = held()
    for _ in range(10):
        with pytest.raises(SourceError, match=r"has no source 'yard'\. It has these:\n  pulse:vmic.monitor"):
            open_server_source("mic0", "pulse:yard", None)
        with pytest.raises(
            SourceError, match=r"pulse has 2 channels, and `channels` asks for 7, .* Set 1 to 2, or remove"
        ):
            open_server_source("mic0", "pulse", 7)
        source = open_server_source("mic0", "pulse", None)
        source.stop()
        assert list(source.blocks()) == []
    wait_until(
        lambda: all(now <= then for now, then in zip(held(), before, strict=True)), "their files and threads end"
    )


@pytest.mark.slow
@pytest.mark.microphone
def test_a_reader_that_pauses_loses_nothing(server: VirtualMicrophone, tmp_path: Path) -> None:
    steps = np.random.default_rng(7).integers(-8000, 8000, (3 * RATE_HZ, 2), np.int16)
    soundfile.write(tmp_path / "noise.wav", steps, RATE_HZ, subtype="PCM_16")
    source = open_server_source("mic0", "pulse", None)
    sound = source.blocks()
    blocks = [next(sound)]
    server.play(tmp_path / "noise.wav")  # meanwhile nothing is read
    while sum(block.samples.shape[1] for block in blocks) < 4 * RATE_HZ:
        blocks.append(next(sound))
    source.stop()
    assert list(sound) == []
    recorded = np.concatenate([block.samples for block in blocks], axis=1)
    played = (steps.T / 32768).astype(np.float32)
    likeness = np.correlate(recorded[0, : 3 * RATE_HZ], played[0, :1000], "valid")
    start = int(likeness.argmax())
    np.testing.assert_array_equal(recorded[:, start : start + played.shape[1]], played)
