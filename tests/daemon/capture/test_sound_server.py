"""Sources of the sound server: names without a server, losses with a real one."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture import open_live_source, sound_server
from soundwatch.daemon.capture.sound_server import (
    ServerSource,
    find_source,
    is_server_source,
    list_sources,
    open_server_source,
)
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError
from soundwatch.daemon.core.source import LiveSource, SourceStateChange
from soundwatch.daemon.core.types import Block
from support.virtual_microphone import RATE_HZ, VirtualMicrophone

PACTL = """#!/bin/sh
case "$1" in
list) printf '0\\tdesk\\tmodule\\ts16le 2ch 48000Hz\\tIDLE\\n1\\thdmi.monitor\\tmodule\\ts32le 6ch 44100Hz\\tIDLE\\n';;
info) echo 'Default Source: hdmi.monitor';;
esac
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no PulseAudio")


def install(folder: Path, **scripts: str) -> None:
    for name, script in scripts.items():
        (folder / name).write_text(script)
        (folder / name).chmod(stat.S_IRWXU)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, the only one of the path."""
    install(tmp_path, pactl=PACTL, parec="#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("programs")
def test_sources_have_the_rate_and_the_channels_of_the_server() -> None:
    desk, monitor = ServerSource("desk", 48_000, 2), ServerSource("hdmi.monitor", 44_100, 6)
    assert list_sources() == [desk, monitor]
    assert find_source("pulse:desk") == desk
    assert find_source("pulse") == monitor


@pytest.mark.usefixtures("programs")
def test_a_source_is_recorded_with_two_channels_unless_configured() -> None:
    for configured, channels in ((None, 2), (6, 6), (1, 1)):
        source = open_server_source("mic0", "pulse", configured)
        assert source.info.channels == channels
        source.stop()
        assert list(source.blocks()) == []
    with pytest.raises(SourceError, match="7 channels were configured for pulse, which has 6; set 1 to 6"):
        open_server_source("mic0", "pulse", 7)


@pytest.mark.usefixtures("programs")
def test_a_source_that_the_server_does_not_have_is_an_error_that_lists_all() -> None:
    with pytest.raises(SourceError, match="The sound server has no source 'yard'") as caught:
        find_source("pulse:yard")
    assert str(caught.value).endswith("\n  pulse:desk\n  pulse:hdmi.monitor")


def test_a_server_that_does_not_answer_is_an_error(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_server, "SERVER_S", 0.2)
    for pactl in ("#!/bin/sh\nexit 1\n", "#!/bin/sh\nread -r line < /dev/zero\n"):
        install(programs, pactl=pactl)
        with pytest.raises(SourceError, match="pulse:desk was expected, and the sound server does not answer"):
            find_source("pulse:desk")


def test_without_the_programs_a_name_is_an_error_and_pulse_a_device_of_portaudio(programs: Path) -> None:
    assert is_server_source("pulse")
    (programs / "parec").unlink()
    assert not is_server_source("pulse")
    assert not is_server_source("default")
    with pytest.raises(SourceUnavailableError, match="sudo apt-get install pulseaudio-utils"):
        open_server_source("mic0", "pulse:desk", None)


@pytest.mark.usefixtures("programs")
def test_a_recorder_that_ends_leaves_no_file_and_no_thread() -> None:
    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system has no /proc/self/fd")
    before = held()
    for device in ("pulse", "pulse:desk") * 10:
        with pytest.raises(SourceError, match="stopped delivering"):
            list(open_server_source("mic0", device, None).blocks())
    assert held() == before


def test_the_last_message_of_the_recorder_is_the_reason(programs: Path) -> None:
    install(programs, parec="#!/bin/sh\necho one >&2; echo 'Stream error: Access denied.' >&2; exit 1\n")
    with pytest.raises(SourceError, match=r"stopped delivering \(Stream error: Access denied\)\. Plug"):
        list(open_server_source("mic0", "pulse", None).blocks())


def name_of(pid: int) -> str:
    """Return the name of a process; empty once it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text("ascii").strip()
    return ""


def recorders(program: str = "parec") -> list[int]:
    """Return the recorders, or the other programs of a name, that this process has started."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [int(pid) for listed in children for pid in listed.read_text("ascii").split()]
    return [pid for pid in pids if name_of(pid) == program]


def changes_until_back(
    source: LiveSource, at_sound: Callable[[], object]
) -> tuple[list[SourceStateChange], list[Block]]:
    """Call `at_sound` at the second block, and collect until the source is back."""
    changes: list[SourceStateChange] = []
    blocks: list[Block] = []
    for item in source.blocks():
        if isinstance(item, SourceStateChange):
            changes.append(item)
            if item.state == "back":
                source.stop()
        elif isinstance(item, Block):
            blocks.append(item)
            if len(blocks) == 2:
                at_sound()
    return changes, blocks


@pytest.mark.slow
@pytest.mark.microphone
@pytest.mark.parametrize(("number", "reason"), [(signal.SIGKILL, "ended"), (signal.SIGSTOP, "stalled")])
def test_a_recorder_that_is_killed_or_hangs_is_replaced_and_the_gap_is_exact(
    virtual_microphone: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, reason: str
) -> None:
    monkeypatch.setenv("PULSE_SERVER", virtual_microphone.env["PULSE_SERVER"])
    source = open_live_source("mic0", "pulse:vmic.monitor")
    changes, blocks = changes_until_back(source, lambda: os.kill(recorders()[0], number))
    assert [(change.state, change.reason) for change in changes] == [("lost", reason), ("back", reason)]
    end_sample = 0
    for block in blocks:
        assert block.first_sample == end_sample + block.lost_samples
        end_sample = block.first_sample + block.samples.shape[1]
    lost_samples = sum(block.lost_samples for block in blocks)
    assert lost_samples / RATE_HZ == pytest.approx((changes[-1].missed_ns or 0) / 1e9, abs=0.001)
    assert recorders() == []


@pytest.mark.slow
@pytest.mark.microphone
def test_a_source_that_is_removed_is_lost_and_no_other_source_is_recorded(
    virtual_microphone: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULSE_SERVER", virtual_microphone.env["PULSE_SERVER"])
    virtual_microphone.plug_in("yard", 16_000)
    source = open_server_source("mic0", "pulse:yard.monitor", None)
    assert source.info.rate_hz == 16_000
    sound = source.blocks()
    next(sound)
    virtual_microphone.unplug("yard")
    with pytest.raises(SourceError, match="it was removed: it was unplugged or switched off"):
        list(sound)


@pytest.mark.slow
@pytest.mark.microphone
def test_a_source_whose_watch_is_killed_is_opened_again_with_a_watch(
    virtual_microphone: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULSE_SERVER", virtual_microphone.env["PULSE_SERVER"])
    virtual_microphone.plug_in("yard", 16_000)
    source = open_live_source("mic0", "pulse:yard.monitor")
    states: list[str] = []
    for item in source.blocks():
        if isinstance(item, SourceStateChange):
            states.append(item.state)
            if states == ["lost", "back"]:
                virtual_microphone.unplug("yard")
            elif len(states) == 3:
                source.stop()
        elif isinstance(item, Block) and not states:
            for pid in recorders("pactl"):
                os.kill(pid, signal.SIGKILL)
    assert states == ["lost", "back", "lost"]
    assert recorders() == recorders("pactl") == []


@pytest.mark.microphone
def test_a_daemon_that_is_killed_leaves_no_program_behind(virtual_microphone: VirtualMicrophone) -> None:
    virtual_microphone.plug_in("yard", 16_000)
    program = (
        "from soundwatch.daemon.capture.sound_server import open_server_source\n"
        "for block in open_server_source('mic0', 'pulse:yard.monitor', None).blocks(): print('sound', flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=os.environ | virtual_microphone.env
    ) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        children = [path for path in Path("/proc").glob("[0-9]*") if parent_of(path) == daemon.pid]
        assert {name_of(int(path.name)) for path in children} - {""} == {"parec", "pactl", "sh"}  # one may have ended
        daemon.kill()
    give_up = time.monotonic() + 60
    while any(path.exists() for path in children):
        assert time.monotonic() < give_up, "a program goes on"
        time.sleep(0.02)


def parent_of(process: Path) -> int:
    try:
        return int(process.joinpath("stat").read_text("utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.slow
@pytest.mark.microphone
def test_a_source_that_is_removed_while_its_watch_hangs_is_lost(
    virtual_microphone: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULSE_SERVER", virtual_microphone.env["PULSE_SERVER"])
    monkeypatch.setattr(sound_server, "LOOK_S", 0.5)
    virtual_microphone.plug_in("yard", 16_000)
    sound = open_server_source("mic0", "pulse:yard.monitor", None).blocks()
    next(sound)
    for pid in recorders("pactl"):
        os.kill(pid, signal.SIGSTOP)
    virtual_microphone.unplug("yard")
    with pytest.raises(SourceError, match="it was removed: it was unplugged or switched off"):
        list(sound)


@pytest.mark.slow
@pytest.mark.microphone
def test_a_reader_that_pauses_loses_nothing(
    virtual_microphone: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PULSE_SERVER", virtual_microphone.env["PULSE_SERVER"])
    steps = np.random.default_rng(7).integers(-8000, 8000, (3 * RATE_HZ, 2), np.int16)
    soundfile.write(tmp_path / "noise.wav", steps, RATE_HZ, subtype="PCM_16")
    source = open_server_source("mic0", "pulse", None)
    sound = source.blocks()
    blocks = [next(sound)]
    virtual_microphone.play(tmp_path / "noise.wav")  # meanwhile nothing is read
    while sum(block.samples.shape[1] for block in blocks) < 4 * RATE_HZ:
        blocks.append(next(sound))
    source.stop()
    assert list(sound) == []
    recorded = np.concatenate([block.samples for block in blocks], axis=1)
    played = (steps.T / 32768).astype(np.float32)
    likeness = np.correlate(recorded[0, : 3 * RATE_HZ], played[0, :1000], "valid")
    start = int(likeness.argmax())
    np.testing.assert_array_equal(recorded[:, start : start + played.shape[1]], played)
