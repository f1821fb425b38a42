"""The real program with a real broker: killed, restarted, paused and stopped."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from support.cli_runner import SOUNDWATCH
from support.mosquitto import Listener, Mosquitto, retained_messages, wait_until

STATUS = "soundwatch/edge1/status"
SOURCE = "soundwatch/edge1/demo/status"


def start(folder: Path, mosquitto: Mosquitto) -> subprocess.Popen[bytes]:
    config = folder / "config.yaml"
    config.write_text(f"node: edge1\nsinks: ['mqtt://{mosquitto.address}']\n")
    return subprocess.Popen([SOUNDWATCH, "run", "--config", config, "--device", "demo"], stderr=subprocess.DEVNULL)


def test_the_status_is_offline_after_a_kill_and_stopped_after_a_stop(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    daemon = start(tmp_path, mosquitto)
    wait_until(lambda: listener.last(SOURCE) == b"heard", "sound")
    daemon.kill()
    daemon.wait(timeout=60)
    wait_until(lambda: listener.last(STATUS) == b"offline", "the last will")
    daemon = start(tmp_path, mosquitto)
    wait_until(lambda: listener.last(STATUS) == b"online", "its return")
    wait_until(lambda: listener.last(SOURCE) == b"heard", "sound")
    listener.publish("soundwatch/edge1/demo/set", "OFF")
    wait_until(lambda: listener.last(SOURCE) == b"paused", "the pause")
    listener.publish("soundwatch/edge1/demo/set", "ON")
    wait_until(lambda: listener.last(SOURCE) == b"heard", "the end of the pause")
    wait_until(lambda: "level_dbfs" in json.loads(listener.last("soundwatch/edge1/demo/level") or b"{}"), "a level")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(timeout=60) == 0
    wait_until(lambda: listener.last(STATUS) == b"stopped", "its goodbye")
    found = retained_messages(mosquitto.port)
    assert found[STATUS] == b"stopped"
    classes = {payload for topic, payload in found.items() if "/class/" in topic}
    assert classes == {b"OFF"}, "no sound lasts when nobody listens"
