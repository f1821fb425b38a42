"""A microphone in its own process: messages over the pipe, and the end of the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from soundwatch.daemon.capture.microphones import capture_process
from soundwatch.daemon.capture.microphones.capture_process import MicrophoneProcess
from soundwatch.daemon.capture.microphones.ipc import (
    HEAD,
    ErrorFrame,
    OpenedFrame,
    decode_frame,
    encode_block,
    encode_message,
)
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError, StallError
from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.daemon.core.records.source import SourceInfo, SourceStateChange
from support.virtual_microphone import VirtualMicrophone

CHILD = """
import sys, time
from soundwatch.daemon.capture.microphones.capture_worker import _exit_with_daemon, _send
from soundwatch.daemon.capture.microphones.ipc import ErrorFrame, OpenedFrame, encode_block, encode_message
from soundwatch.daemon.core.records.block import Block, read_only
import numpy as np, os, threading
threading.Thread(target=_exit_with_daemon, daemon=True).start()
def send(what): _send(1, encode_message(what))
def sound(number):
    _send(1, encode_block(Block(read_only(np.full((2, 800), number, np.float32)), 8000, number * 800), 42))
"""


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Replace the capture process by one that runs the test's code."""
    script: list[str] = []
    popen = subprocess.Popen

    def start(command: list[str], **options: object) -> object:
        assert command[1:4] == ["-P", "-m", "soundwatch.daemon.capture.microphones.capture_worker"]
        return popen([sys.executable, "-c", CHILD + script[0]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", start)
    return script


def test_frames_survive_encoding_and_decoding() -> None:
    samples = read_only(np.random.default_rng(1).standard_normal((2, 441)).astype(np.float32))
    block = Block(samples, 44_100, 10**12, 7)
    for frame, what in (
        (encode_message(OpenedFrame("USB, ALSA", 48_000, 2)), OpenedFrame("USB, ALSA", 48_000, 2)),
        (
            encode_message(ErrorFrame("absent", "Plug it in.", final=False)),
            ErrorFrame("absent", "Plug it in.", final=False),
        ),
    ):
        assert decode_frame(frame[0], frame[HEAD.size :]) == what
    frame = encode_block(block, 1_800_000_000_000_000_000)
    assert HEAD.unpack(frame[: HEAD.size]) == (1, len(frame) - HEAD.size)
    back = decode_frame(1, frame[HEAD.size :])
    assert isinstance(back, tuple)
    np.testing.assert_array_equal(back[0].samples, samples)
    assert (back[0].rate_hz, back[0].first_sample, back[0].lost_samples) == (44_100, 10**12, 7)
    assert back[1] == 1_800_000_000_000_000_000


@pytest.mark.parametrize(
    ("kind", "error", "reason"),
    [
        ("unavailable", SourceUnavailableError, "absent"),
        ("stalled", StallError, "stalled"),
        ("ended", SourceError, "ended"),
        ("absent", SourceError, "absent"),
    ],
)
def test_an_error_keeps_its_type_and_message(kind: str, error: type[SourceError], reason: str) -> None:
    trouble = ErrorFrame(kind, "So it is.", final=True)  # type: ignore[arg-type]
    assert type(trouble.error()) is error
    assert trouble.reason == reason


@pytest.mark.slow
def test_messages_of_the_process_are_received(acted: list[str]) -> None:
    acted.append(
        "send(ErrorFrame('absent', 'Not yet.', final=False)); send(OpenedFrame('USB', 8000, 2)); sound(0); sound(1)\n"
        "send(ErrorFrame('ended', 'Unplugged.', final=True))"
    )
    source = MicrophoneProcess("mic0", "USB", None, wait=True)
    sound = source.blocks()
    assert next(sound) == SourceStateChange("waiting", "absent", "Not yet.")
    first, second = next(sound), next(sound)
    assert isinstance(first, Block)
    assert isinstance(second, Block)
    assert (second.samples == 1).all()
    assert (source.info, source.start_unix_ns) == (SourceInfo("mic0", "USB", 8000, 2), 42)
    with pytest.raises(SourceError, match=r"Unplugged\."):
        next(sound)


@pytest.mark.slow
def test_a_missing_device_of_the_command_line_is_refused_immediately(acted: list[str]) -> None:
    acted.append("send(ErrorFrame('absent', 'No input device matches.', final=True))")
    with pytest.raises(SourceError, match="No input device matches"):
        MicrophoneProcess("mic0", "USB", None, wait=False)


@pytest.mark.slow
def test_a_process_that_is_killed_is_a_lost_device(acted: list[str]) -> None:
    acted.append("send(OpenedFrame('USB', 8000, 2)); sound(0); os.kill(os.getpid(), 9)")
    source = MicrophoneProcess("mic0", "USB", None, wait=False)
    with pytest.raises(SourceError, match="The process that captured USB was ended by SIGKILL"):
        list(source.blocks())


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows' pipes cannot be looked at")
def test_a_process_that_hangs_is_killed(acted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_process, "SILENT_S", 0.3)
    monkeypatch.setattr(capture_process, "POLL_MS", 50)
    acted.append("send(OpenedFrame('USB', 8000, 2)); sound(0); time.sleep(600)")
    source = MicrophoneProcess("mic0", "USB", None, wait=False)
    with pytest.raises(StallError, match="hangs; it is restarted"):
        list(source.blocks())
    assert source._process.poll() is not None


@pytest.mark.slow
def test_the_process_ends_with_the_daemon(acted: list[str]) -> None:
    acted.append("send(OpenedFrame('USB', 8000, 2)); time.sleep(600)")
    source = MicrophoneProcess("mic0", "USB", None, wait=False)
    source.stop()
    source._process.wait(timeout=30)
    assert list(source.blocks()) == []


@pytest.mark.slow
def test_a_hundred_losses_leave_no_process_and_no_file_open() -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system has no /proc/self/fd")
    light = "import os, sys; os.write(1, bytes.fromhex(sys.argv[1]))"
    frame = encode_message(OpenedFrame("USB", 8000, 2)).hex()
    start = subprocess.Popen
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", lambda _, **o: start([sys.executable, "-ISc", light, frame], **o))
        for _ in range(100):
            with pytest.raises(SourceError, match="The process that captured USB "):
                list(MicrophoneProcess("mic0", "USB", None, wait=False).blocks())
    assert len(list(Path("/proc/self/fd").iterdir())) <= before, "fewer, if one of an earlier test was closed"


@pytest.mark.slow
def test_the_capture_process_loads_no_network() -> None:
    code = "import sys, soundwatch.daemon.capture.microphones.capture_worker; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups of this kind")
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "time.sleep(600)"], ids=["killed", "stopped"])
def test_children_of_the_process_end_with_it(acted: list[str], end: str) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    started = f"subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL, pass_fds=[{writing}])"
    acted.append(f"import subprocess; {started}; send(OpenedFrame('USB', 8000, 2)); {end}")
    with pytest.MonkeyPatch.context() as patch:
        popen = subprocess.Popen
        patch.setattr(subprocess, "Popen", lambda *a, **options: popen(*a, **options, pass_fds=[writing]))
        source = MicrophoneProcess("mic0", "USB", None, wait=False)
    os.close(writing)
    if "kill" in end:
        with pytest.raises(SourceError, match="The process that captured USB "):
            list(source.blocks())
    else:
        source.stop()
        source._process.wait(timeout=30)
        assert list(source.blocks()) == []
    assert os.read(reading, 1) == b"", "nobody holds the pipe's other end any more"
    os.close(reading)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a size of pipes")
def test_a_pipe_that_may_not_grow_stays_as_it_is(acted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr("fcntl.fcntl", refuse)
    acted.append("send(OpenedFrame('mic', 8000, 2)); sound(1); time.sleep(60)")
    source = MicrophoneProcess("mic0", "mic", None, wait=True)
    block = next(iter(source.blocks()))
    source.stop()
    assert isinstance(block, Block)
    assert block.samples.shape == (2, 800)


@pytest.mark.slow
@pytest.mark.microphone
def test_a_sound_server_that_hangs_is_named_before_portaudio_gives_up(
    virtual_microphone: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULSE_SERVER", virtual_microphone.env["PULSE_SERVER"])
    virtual_microphone.stop()
    waiting = MicrophoneProcess("mic0", "default", None, wait=True)
    with pytest.raises(SourceError, match=r"^default cannot be opened\. The sound server does not answer .* It hangs"):
        MicrophoneProcess("mic1", "default", None, wait=False)
    change = next(waiting.blocks())
    waiting.stop()
    assert isinstance(change, SourceStateChange)
    assert (change.state, change.reason) == ("waiting", "absent")
    assert change.detail.startswith("default cannot be opened. The sound server does not answer")


@pytest.mark.slow
def test_a_sound_system_that_hangs_is_named_soon_where_no_server_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with ALSA's own address of a server, or with JACK."""
    (tmp_path / "sounddevice.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    for variable in ("XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.delenv("PULSE_SERVER", raising=False)
    message = r"^default cannot be opened\. The sound system does not answer within 5 s\. Check that its server"
    with pytest.raises(SourceError, match=message):
        MicrophoneProcess("mic0", "default", None, wait=False)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("os.abort()", "SIGABRT in PortAudio or the sound system. Check the conf"),
        ("os.kill(os.getpid(), 9)", "SIGKILL, by another program, or for want of memory"),
    ],
)
def test_a_capture_that_crashes_gives_the_reason(acted: list[str], end: str, reason: str) -> None:
    acted.append(f"import os; {end}")
    with pytest.raises(SourceError, match=f"^The process that captured USB was ended by {reason}"):
        MicrophoneProcess("mic0", "USB", None, wait=False)
