"""Sources of PulseAudio and PipeWire, as raw samples of the server's own recorder.

Conventions: the program `parec` records, `pactl` lists the sources; both are in the package `pulseaudio-utils`.
`pulse:NAME` is the source that `pactl list short sources` lists as NAME, and `pulse` the server's default source. A
source is recorded at its own rate as float32, with two channels at most unless configured. What this program does not
read yet is kept by the server for about twelve seconds; later losses are found by the clock (`capture/network.py`).
Source: tests with PulseAudio 16: when a source is removed, the server silently moves its streams to the default source,
and `parec` cannot forbid that. So the server's sources are watched; a removed source, or the end of the watch, ends the
recorder.
Does not: read samples (`capture/network.py`), or reopen a lost source (`capture/reconnect.py`).
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import threading
from dataclasses import dataclass
from typing import IO, Final

from soundwatch.daemon.capture.ipc import gatherable_s
from soundwatch.daemon.capture.network import Connection, NetworkSource
from soundwatch.daemon.capture.raw_pcm import PcmFormat
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError

DEFAULT: Final = "pulse"
PREFIX: Final = "pulse:"
PROGRAMS: Final = ("parec", "pactl")
MAX_CHANNELS: Final = 2  # more are recorded only if configured
LATENCY_MS: Final = 100  # of the server's pieces: the drop detector counts on them
GATHER_S: Final = 0.3  # each read costs a wake-up
FIRST_S: Final = 2.5
SERVER_S: Final = 2.0
LOOK_S: Final = 5.0  # the sources are also listed without a message of `pactl subscribe`, which may hang
LONGEST_PAUSE_S: Final = 1.0  # a source that returns is recorded within two seconds

_SPECIFICATION = re.compile(r"(\d+)ch (\d+)Hz")


@dataclass(frozen=True, slots=True)
class ServerSource:
    """A source of the sound server.

    Attributes:
        name: Name on the server.
        rate_hz: Sampling rate.
        channels: Number of channels.
    """

    name: str
    rate_hz: int
    channels: int


def is_server_source(device: str | int) -> bool:
    """Return True for `pulse:NAME`, and for `pulse` where the programs are installed."""
    return str(device).startswith(PREFIX) or (device == DEFAULT and all(map(shutil.which, PROGRAMS)))


def open_server_source(name: str, device: str, channels: int | None) -> NetworkSource:
    """Open a source of the sound server that ends at its first loss.

    Args:
        name: The source's name in events.
        device: `pulse` or `pulse:NAME`.
        channels: Number of channels to record; None for the source's own, two at most.

    Raises:
        SourceError: The server does not answer, or has no such source.
        SourceUnavailableError: A program is missing.
    """
    if not all(map(shutil.which, PROGRAMS)):
        raise SourceUnavailableError(
            f"{device} needs the programs {' and '.join(PROGRAMS)}, which are missing. On Debian and Ubuntu install "
            "them with `sudo apt-get install pulseaudio-utils`."
        )
    found = find_source(device)
    if channels is not None and not 1 <= channels <= found.channels:
        raise SourceError(
            f"{channels} channels were configured for {device}, which has {found.channels}; set 1 to "
            f"{found.channels}, or remove the key."
        )
    pcm = PcmFormat("f32le", found.rate_hz, channels or min(found.channels, MAX_CHANNELS))
    description = device if device != DEFAULT else f"{DEFAULT}, {found.name}"
    return NetworkSource(name, description, lambda: _connect(device, pcm), pcm)


def find_source(device: str) -> ServerSource:
    """Find the source of `pulse` or `pulse:NAME`.

    Raises:
        SourceError: The server does not answer, or has no such source. The message lists the sources.
    """
    sources = list_sources()
    wanted = device.removeprefix(PREFIX) if device.startswith(PREFIX) else _default_name()
    found = next((source for source in sources if source.name == wanted), None)
    if found is not None:
        return found
    if not sources:
        raise SourceError(
            f"{device} was expected, and the sound server does not answer, or has no source. Check that the server "
            "(PulseAudio, PipeWire) runs: `pactl list short sources`."
        )
    listed = "\n".join(f"  {PREFIX}{source.name}" for source in sources)
    raise SourceError(f"The sound server has no source {wanted!r}. It has these:\n{listed}")


def list_sources() -> list[ServerSource]:
    """List the sound server's sources; none without a server. A name that is not UTF-8 gets replacement characters."""
    found = []
    for line in _ask("list", "short", "sources").splitlines():
        fields = line.split("\t")
        specification = _SPECIFICATION.search(fields[3]) if len(fields) > 3 else None
        if specification is not None:
            found.append(ServerSource(fields[1], int(specification[2]), int(specification[1])))
    return found


def _default_name() -> str:
    """Return the name of the server's default source; empty without a server."""
    lines = _ask("info").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("Default Source: ")), "")


def _ask(*arguments: str) -> str:
    """Return what `pactl` prints in English; nothing if the server does not answer."""
    try:
        answered = subprocess.run(  # noqa: S603 -- a list of our own words
            ["pactl", *arguments],  # noqa: S607
            env=os.environ | {"LC_ALL": "C"},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SERVER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answered.stdout.decode(errors="replace")


def _start(*command: str) -> subprocess.Popen[bytes]:
    """Start a program of the sound server whose output is read.

    Raises:
        SourceError: The program cannot be started.
    """
    try:
        return subprocess.Popen(  # noqa: S603 -- a list of our own words and the configured name
            command,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # the daemon handles a terminal's Ctrl-C
        )
    except OSError as error:
        raise SourceError(f"The program {command[0]} cannot be started: {error.strerror}.") from error


def _guard(program: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Start a shell that kills a program once this process has ended, however it ended.

    Raises:
        SourceError: The shell cannot be started; the program is killed.
    """
    try:
        return subprocess.Popen(  # noqa: S603 -- our own words
            ["/bin/sh", "-c", f"read _; kill -9 {program.pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        program.kill()
        program.wait()
        raise SourceError(f"/bin/sh cannot be started: {error.strerror}.") from error


def _connect(device: str, pcm: PcmFormat) -> Connection:
    """Start the recorder, and for a named source the watch."""
    name = device.removeprefix(PREFIX) if device.startswith(PREFIX) else None
    form = ("--raw", "--format=float32le", f"--rate={pcm.rate_hz}", f"--channels={pcm.channels}")
    source = () if name is None else (f"--device={name}",)
    recorder = _start("parec", *form, f"--latency-msec={LATENCY_MS}", "--client-name=soundwatch", *source)
    assert recorder.stdout is not None
    assert recorder.stderr is not None
    stdout, stderr = recorder.stdout, recorder.stderr
    longest_gather_s = gatherable_s(stdout, pcm.frame_bytes * pcm.rate_hz)
    watch = None if name is None else _RemovalWatch(name, recorder)

    def close(_: bool) -> str:
        recorder.kill()
        recorder.wait()
        said = _last_line(stderr)
        for pipe in (stdout, stderr):
            pipe.close()
        if watch is not None:
            watch.close()
            if watch.reason:
                return watch.reason
        reason = f" ({said})" if said else ""
        return f"the sound server stopped delivering{reason}. Plug the microphone in, or start the server."

    return Connection(
        stdout.fileno(),
        close,
        gather_s=min(GATHER_S, longest_gather_s),
        longest_gather_s=longest_gather_s,
        interrupt=recorder.kill,
        first_s=FIRST_S,
    )


def _last_line(messages: IO[bytes]) -> str:
    """Return the last line of a program that has ended."""
    lines = messages.read().decode(errors="replace").strip().splitlines()
    return lines[-1].rstrip(".") if lines else ""


class _RemovalWatch:
    """A watch that kills a recorder when the sound server removes its source, or when the watch itself ends.

    Args:
        name: Name of the source.
        recorder: The program that records the source.

    Attributes:
        reason: Reason for the end of the recorder; empty unless the watch has killed it.
    """

    def __init__(self, name: str, recorder: subprocess.Popen[bytes]) -> None:
        self.reason = ""
        self._closing = False
        self._name = name
        self._recorder = recorder
        try:
            self._pactl = _start("pactl", "subscribe")
            self._guard = _guard(self._pactl)
        except SourceError:
            recorder.kill()
            recorder.wait()
            raise
        self._thread = threading.Thread(target=self._watch, name="source-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the watch."""
        self._closing = True
        self._guard.kill()
        self._guard.wait()
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._pactl.kill()
        self._pactl.wait()
        self._thread.join()
        for pipe in (self._pactl.stdout, self._pactl.stderr):
            assert pipe is not None
            pipe.close()

    def _watch(self) -> None:
        assert self._pactl.stdout is not None
        try:
            self._look()
            self._look_at_messages(self._pactl.stdout)
            if not self._closing:
                self._end("the sound server stopped delivering (the watch of its sources ended).")
        except Exception as error:  # noqa: BLE001  # an unwatched source may become another one, so it is opened again
            self._end(f"its watch failed: {error}.")

    def _look_at_messages(self, messages: IO[bytes]) -> None:
        """Look at each message about a source, and after a pause; return at the end of the messages."""
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(messages, selectors.EVENT_READ)
            while True:
                if not selector.select(LOOK_S):
                    self._look()
                    continue
                said = os.read(messages.fileno(), 4096)
                if not said:
                    return
                lines, _, line = (line + said).rpartition(b"\n")
                if b"source #" in lines:
                    self._look()

    def _look(self) -> None:
        names = [source.name for source in list_sources()]
        if names and self._name not in names:
            self._end("it was removed: it was unplugged or switched off.")

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._recorder.kill()
