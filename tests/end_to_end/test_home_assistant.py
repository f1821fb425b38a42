"""The real program beside a real Home Assistant and a real broker: entities, actions, restarts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cli_runner import SOUNDWATCH
from support.home_assistant import PYTHON_VARIABLE, HomeAssistant
from support.mosquitto import Mosquitto, wait_until

pytestmark = pytest.mark.skipif(
    PYTHON_VARIABLE not in os.environ, reason=f"{PYTHON_VARIABLE} names no Python with the package homeassistant"
)
CONFIG = """
node: balcony
place: {language: de}
sources: {street: {device: demo}}
sinks: ["mqtt://127.0.0.1:PORT,commands=1"]
level: {enabled: true}
schedules: {night: {enabled: false, when: [{}], then: {pause: true}}}
"""
SIREN = "binary_sensor.soundwatch_balcony_street_siren"
LISTENING = "switch.soundwatch_balcony_street_listening"
RUNNING = "binary_sensor.soundwatch_balcony_running"


@pytest.fixture
def home_assistant(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[HomeAssistant]:
    folder = tmp_path / "home-assistant"
    folder.mkdir()
    home = HomeAssistant(folder, mosquitto.port)
    yield home
    home.close()


@pytest.fixture
def start(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Provide a function that starts the program."""
    config, started = tmp_path / "config.yaml", list[subprocess.Popen[bytes]]()
    config.write_text(CONFIG.replace("PORT", str(mosquitto.port)))
    command = [SOUNDWATCH, "run", "--config", str(config), "--journal", str(tmp_path / "journal.db"), "--plain"]

    def begin() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait(timeout=60)


def test_home_assistant_shows_events_obeys_and_is_obeyed_over_restarts(
    home_assistant: HomeAssistant, start: Callable[[], subprocess.Popen[bytes]]
) -> None:
    home, daemon = home_assistant, start()
    wait_until(lambda: home.states().get(SIREN) == "on", "the demo's siren")
    assert home.attributes(SIREN)["friendly_name"] == "soundwatch balcony street Sirene"
    event = home.attributes("event.soundwatch_balcony_street_sounds")
    assert (event["event_type"] in ("start", "update"), event["class"], event["source"]) == (True, "siren", "street")
    wait_until(
        lambda: home.states()["sensor.soundwatch_balcony_street_laeq_uncalibrated"] not in ("unknown", "unavailable"),
        "a level",
    )
    home.call("switch.turn_off", LISTENING)
    wait_until(lambda: home.states()[SIREN] == "unavailable", "the pause")
    assert home.states()[LISTENING] == "off"
    home.call("switch.turn_on", LISTENING)
    wait_until(lambda: home.states()[SIREN] in ("on", "off"), "the end of the pause")
    home.call("number.set_value", "number.soundwatch_balcony_street_threshold_offset", value=0.1)
    wait_until(lambda: home.states()["number.soundwatch_balcony_street_threshold_offset"] == "0.1", "the offset")
    home.call("switch.turn_on", "switch.soundwatch_balcony_schedule_night")
    wait_until(lambda: home.states()[LISTENING] == "off", "the pause of the schedule")
    wait_until(
        lambda: home.states()["binary_sensor.soundwatch_balcony_schedule_night_active"] == "on", "the schedule's effect"
    )
    daemon.kill()
    daemon.wait(timeout=60)
    wait_until(lambda: home.states()[RUNNING] == "off", "the end of the program")
    assert home.states()[LISTENING] == "unavailable"
    daemon = start()
    wait_until(lambda: home.states()[RUNNING] == "on", "its return")
    home.end()
    home.start()
    wait_until(lambda: home.states().get(LISTENING) == "on", "the states after a restart of Home Assistant")
    daemon.terminate()
    assert daemon.wait(timeout=60) == 0
    wait_until(lambda: home.states()[RUNNING] == "off", "its goodbye")
    ours = [line for line in home.log.read_text().splitlines() if "soundwatch" in line and " ERROR " in line]
    assert not ours
