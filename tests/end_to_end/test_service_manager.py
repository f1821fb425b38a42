"""Notifications of `soundwatch run` to a service manager: readiness, status, watchdog, reload and stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH
from support.fake_systemd import Manager, manager
from support.virtual_microphone import VirtualMicrophone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")

FROZEN_AFTER_5 = """
import time
from soundwatch.daemon.inference import classifier

real, windows = classifier.LoadedModel.classify, []

def classify_five(self, mel_db):
    windows.append(mel_db)
    if len(windows) > 5:
        time.sleep(3600)
    return real(self, mel_db)

classifier.LoadedModel.classify = classify_five
"""


@contextmanager
def running(
    systemd: Manager, *arguments: str | Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [SOUNDWATCH, "run", *map(str, arguments)],
        env=os.environ | systemd.env | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_systemd_is_notified_of_readiness_status_watchdog_and_stop() -> None:
    with manager() as systemd, running(systemd, "--device", "demo") as daemon:
        systemd.wait_for(lambda text: text == "READY=1")
        assert daemon.stdout is not None
        assert b'"hello"' in daemon.stdout.readline(), "READY follows the first classified window"
        systemd.wait_for(lambda text: text.startswith("STATUS=1 of 1 sources running; ") and text.endswith(" on demo"))
        systemd.wait_for(lambda text: text == "WATCHDOG=1")
        daemon.send_signal(signal.SIGTERM)
        systemd.wait_for(lambda text: text == "STOPPING=1")
        daemon.communicate(timeout=30)
    assert daemon.returncode == 0


def test_a_model_that_hangs_stops_the_watchdog_and_is_logged(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(FROZEN_AFTER_5)
    with (
        manager(watchdog_s=4) as systemd,
        running(systemd, "--device", "demo", env={"PYTHONPATH": str(tmp_path)}) as daemon,
    ):
        systemd.wait_for(lambda text: text == "READY=1")
        assert daemon.stderr is not None
        while b"stage_stalled" not in (line := daemon.stderr.readline()):
            assert line, "it ended"
        assert b"the model" in line
        while systemd.receive(0.1):  # notifications sent before the stall
            pass
        assert not systemd.receive(3), "a stalled stage still pinged the watchdog"
        assert daemon.poll() is None, "the manager ends the process"


@pytest.mark.microphone
def test_a_missing_microphone_does_not_stop_the_watchdog(virtual_microphone: VirtualMicrophone, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("sources: {mic0: {device: pulse:yard.monitor}}")
    model = write_band_model(tmp_path / "bands.onnx")
    with (
        manager(watchdog_s=4) as systemd,
        running(systemd, "--config", config, "--model", model, env=virtual_microphone.env),
    ):
        systemd.wait_for(lambda text: text == "READY=1")
        assert systemd.wait_for(lambda text: "waiting for" in text) == "STATUS=0 of 1 sources running; waiting for mic0"
        virtual_microphone.plug_in("yard")
        systemd.wait_for(lambda text: text == "STATUS=1 of 1 sources running")
        virtual_microphone.stop()
        systemd.wait_for(lambda text: "waiting for mic0" in text)
        virtual_microphone.cont()
        systemd.wait_for(lambda text: text == "STATUS=1 of 1 sources running")
        virtual_microphone.unplug("yard")
        systemd.wait_for(lambda text: "waiting for mic0" in text)
        away_since = len(systemd.received)
        deadline_s = time.monotonic() + 6  # longer than the time limit of a stage
        while time.monotonic() < deadline_s:
            systemd.receive(1)
        assert [text for _, text in systemd.received[away_since:]].count("WATCHDOG=1") >= 3


def test_a_reload_is_notified_at_its_start_and_end(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"sources: {{scene: {{device: demo}}}}\njournal: {{path: {tmp_path / 'journal.db'}}}\n")
    with manager() as systemd, running(systemd, "--config", config) as daemon:
        systemd.wait_for(lambda text: text == "READY=1")
        daemon.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in systemd.wait_for(lambda text: text.startswith("RELOADING=1"))
        systemd.wait_for(lambda text: text == "READY=1")
        assert daemon.poll() is None
