"""A microphone for machines without one: PulseAudio in a folder of its own hears what is played into it.

Conventions: programs under test reach it with the environment in `env`; this process never does. PortAudio
then lists `pulse` and `default`. Give the first block before playing, or the start is lost.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

RATE_HZ = 44_100
CHANNELS = 2


class VirtualMicrophone:
    """A sound server whose one microphone is the monitor of its one loudspeaker.

    Attributes:
        env: What a program's environment must have besides the usual to use it.
    """

    def __init__(self, folder: Path) -> None:
        self.env = {"PULSE_SERVER": f"unix:{folder}/native"}
        self._folder = folder
        self._modules: dict[str, str] = {}
        self.start()

    def start(self) -> None:
        """Start the server, also again after `kill`."""
        own = ("HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH")
        self._server = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"),
                *("--log-level=error", "--log-target=stderr"),
                *("-L", f"module-native-protocol-unix socket={self._folder}/native auth-anonymous=1"),
                *("-L", f"module-null-sink sink_name=vmic rate={RATE_HZ} channels={CHANNELS} norewinds=1"),
            ],
            env=os.environ | dict.fromkeys(own, str(self._folder)),
            stdin=subprocess.DEVNULL,
        )
        give_up = time.monotonic() + 60
        while "vmic.monitor" not in self.ask("pactl", "list", "short", "sources"):
            assert self._server.poll() is None, f"pulseaudio ended with {self._server.returncode}"
            assert time.monotonic() < give_up, "pulseaudio does not answer"
            time.sleep(0.02)

    @property
    def server_pid(self) -> int:
        """Process id of the sound server."""
        return self._server.pid

    def plug_in(self, name: str, rate_hz: int = RATE_HZ) -> None:
        """Add a microphone, which is the sound server's source `name.monitor`."""
        sink = (f"sink_name={name}", f"rate={rate_hz}", f"channels={CHANNELS}", "norewinds=1")
        self._modules[name] = self.ask("pactl", "load-module", "module-null-sink", *sink).strip()

    def unplug(self, name: str) -> None:
        """Take it away."""
        self.ask("pactl", "unload-module", self._modules.pop(name))

    def start_playing(self, recording: Path, name: str = "vmic") -> subprocess.Popen[bytes]:
        """Play a recording into a microphone; the process ends with the recording."""
        return subprocess.Popen(["paplay", "-d", name, str(recording)], env=os.environ | self.env)

    def play(self, recording: Path) -> None:
        """Play a recording into the microphone, and wait for its end."""
        assert self.start_playing(recording).wait(timeout=120) == 0

    def kill(self) -> None:
        """End the server without a goodbye, as a crash does."""
        self._server.send_signal(signal.SIGCONT)
        self._server.kill()
        self._server.wait(timeout=60)

    def stop(self) -> None:
        """Let the server hang."""
        self._server.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Resume the server."""
        self._server.send_signal(signal.SIGCONT)

    def ask(self, *command: str) -> str:
        """Return what a program of the server prints."""
        return subprocess.run(command, env=os.environ | self.env, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def virtual_microphone() -> Iterator[VirtualMicrophone]:
    """Provide a virtual microphone, or skip with the missing program."""
    missing = [program for program in ("pulseaudio", "pactl", "paplay") if shutil.which(program) is None]
    if ctypes.util.find_library("portaudio") is None:
        missing.append("libportaudio2")
    if not any(Path("/").glob("usr/lib*/**/alsa-lib/libasound_module_pcm_pulse.so")):
        missing.append("libasound2-plugins")
    if missing:
        pytest.skip(f"no virtual microphone without {', '.join(missing)}")
    folder = Path(tempfile.mkdtemp(prefix="soundwatch-"))  # a socket's path has to be short
    microphone = VirtualMicrophone(folder)
    try:
        yield microphone
    finally:
        microphone.kill()
        shutil.rmtree(folder, ignore_errors=True)
