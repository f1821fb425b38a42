"""A camera for machines without one: GStreamer's RTSP server plays a tone to whoever connects.

Conventions: it runs with the Python that Debian's `gi` is installed for:
`python3 -m support.rtsp_server PORT` in tests/.
The tone is at /live, as 16-bit samples in RTP, in real time. One line is printed once the server accepts connections.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support.ports import free_port

TONE_HZ = 500
RATE_HZ = 44_100
TESTS = Path(__file__).resolve().parents[1]
_MISSING = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer"
_SYSTEM_PYTHON = "/usr/bin/python3"


class RtspServer:
    """The server, which can be killed and started again at the same address.

    Attributes:
        url: Where the tone is.
    """

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"rtsp://127.0.0.1:{self._port}/live"
        self.start()

    def start(self) -> None:
        """Start it, also again after `kill`."""
        self._server = subprocess.Popen(server_words(self._port), stdout=subprocess.PIPE, cwd=TESTS)
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n", "the server ended"

    def kill(self) -> None:
        """End it without a goodbye, as a camera that loses its power."""
        self._server.kill()
        self._server.wait(timeout=60)
        assert self._server.stdout is not None
        self._server.stdout.close()


def server_words(port: int) -> list[str]:
    """Return the words that start a server, in the folder `TESTS`."""
    return [_SYSTEM_PYTHON, "-m", "support.rtsp_server", str(port)]


def why_not() -> str | None:
    """Return the missing requirement, or an empty text."""
    missing = [program for program in ("ffmpeg", _SYSTEM_PYTHON) if shutil.which(program) is None]
    if not missing and subprocess.run([_SYSTEM_PYTHON, "-c", _MISSING], capture_output=True, check=False).returncode:
        missing = ["gir1.2-gst-rtsp-server-1.0", "python3-gi"]
    return f"no RTSP server without {', '.join(missing)}" if missing else None


def serve(port: str) -> Iterator[None]:
    """Serve until killed."""
    import gi  # Debian's; the project's own environment has none

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    media = GstRtspServer.RTSPMediaFactory()
    sound = f"audiotestsrc is-live=true freq={TONE_HZ} volume=0.5 ! audio/x-raw,rate={RATE_HZ},channels=1"
    media.set_launch(f"( {sound} ! audioconvert ! rtpL16pay name=pay0 pt=96 )")
    media.set_shared(True)
    server.get_mount_points().add_factory("/live", media)
    server.attach(None)
    yield
    GLib.MainLoop().run()


if __name__ == "__main__":
    for _ in serve(sys.argv[1]):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
