"""A real Home Assistant with its MQTT integration and its pages.

Conventions: `HOME_ASSISTANT_PYTHON` names the Python of the environment that scripts/home_assistant_environment.py
makes. All addresses are of the loopback network.
Source: developers.home-assistant.io, the REST API and the authentication API.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx

from support.mosquitto import wait_until
from support.ports import free_port

PYTHON_VARIABLE = "HOME_ASSISTANT_PYTHON"
_STARTED = "Home Assistant initialized"
_CONFIGURATION = """
homeassistant: {{name: Home, latitude: 48.2, longitude: 16.4, elevation: 100, time_zone: Europe/Vienna}}
http: {{server_host: 127.0.0.1, server_port: {port}}}
api:
config:
logger: {{default: info}}
"""
_MQTT_ENTRY: dict[str, Any] = {
    "created_at": "2026-01-01T00:00:00+00:00",
    "modified_at": "2026-01-01T00:00:00+00:00",
    "disabled_by": None,
    "discovery_keys": {},
    "domain": "mqtt",
    "entry_id": "01JR0000000000000000000000",
    "version": 1,
    "minor_version": 2,
    "options": {},
    "pref_disable_new_entities": False,
    "pref_disable_polling": False,
    "source": "user",
    "subentries": [],
    "title": "Mosquitto",
    "unique_id": None,
}


class HomeAssistant:
    """A new installation with one user and a broker.

    Args:
        folder: Empty folder for its configuration.
        broker_port: Port of the broker at 127.0.0.1.
    """

    def __init__(self, folder: Path, broker_port: int) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = folder / "output.txt"
        (folder / "configuration.yaml").write_text(_CONFIGURATION.format(port=port))
        (folder / ".storage").mkdir()
        entry = _MQTT_ENTRY | {"data": {"broker": "127.0.0.1", "port": broker_port}}
        (folder / ".storage" / "core.config_entries").write_text(
            json.dumps({"version": 1, "minor_version": 5, "key": "core.config_entries", "data": {"entries": [entry]}})
        )
        self._folder = folder
        self._http = httpx.Client(base_url=self.url, timeout=60)
        self.start()
        self.tokens = self._make_user()
        self._http.headers["Authorization"] = f"Bearer {self.tokens['access_token']}"
        addresses = {"client_id": f"{self.url}/", "redirect_uri": f"{self.url}/"}
        for question in ("core_config", "analytics", "integration"):  # until they are answered, no other page is shown
            self._http.post(f"/api/onboarding/{question}", json=addresses).raise_for_status()

    def start(self) -> None:
        """Start it, also again after its end; it returns once all integrations are set up."""
        command = [os.environ[PYTHON_VARIABLE], "-m", "homeassistant", "--config", str(self._folder), "--skip-pip"]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        wait_until(self._is_started, "Home Assistant")

    def end(self) -> None:
        """Stop it as its service does."""
        self._process.terminate()
        self._process.wait(timeout=60)

    def close(self) -> None:
        """Stop it, and close the connections to it."""
        self.end()
        self._http.close()

    def states(self) -> dict[str, str]:
        """Return the states of soundwatch's entities by their ids."""
        states = self._http.get("/api/states").raise_for_status().json()
        return {state["entity_id"]: state["state"] for state in states if ".soundwatch_" in state["entity_id"]}

    def attributes(self, entity_id: str) -> dict[str, Any]:
        """Return the attributes of an entity."""
        attributes: dict[str, Any] = self._http.get(f"/api/states/{entity_id}").raise_for_status().json()["attributes"]
        return attributes

    def device_id(self, entity_id: str) -> str:
        """Return the id of the device that an entity belongs to."""
        template = {"template": f"{{{{ device_id('{entity_id}') }}}}"}
        return self._http.post("/api/template", json=template).raise_for_status().text

    def call(self, action: str, entity_id: str, **data: object) -> None:
        """Perform an action (`switch.turn_off`) on an entity."""
        domain, _, service = action.partition(".")
        answer = self._http.post(f"/api/services/{domain}/{service}", json={"entity_id": entity_id, **data})
        answer.raise_for_status()

    def _is_started(self) -> bool:
        output = self.log.read_text(errors="replace")
        assert self._process.poll() is None, output[-3000:]
        return _STARTED in output

    def _make_user(self) -> dict[str, Any]:
        """Make the user, and return its tokens."""
        client = f"{self.url}/"
        user = {"name": "Home", "username": "home", "password": "home", "language": "en"}
        code = self._http.post("/api/onboarding/users", json=user | {"client_id": client}).raise_for_status().json()
        form = {"client_id": client, "grant_type": "authorization_code", "code": code["auth_code"]}
        tokens: dict[str, Any] = self._http.post("/auth/token", data=form).raise_for_status().json()
        return tokens
