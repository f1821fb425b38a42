"""Settings that are changed through the API and on the page of a running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.demo_daemon import demo_daemon
from support.ports import free_port
from support.web_harness import a_site

TOKEN = "a-token-of-twenty-four-l"  # noqa: S105
TEXT = """\
# The balcony.
sources: {mic0: {device: demo}}
detection:
  cooldown_s: 5.0   # long enough

# Where events go.
sinks: ["json:events.jsonl"]
"""


class Running:
    """A daemon with a configuration file and a token."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self.path = path

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"} | options.pop("headers", {})
        with httpx.Client(timeout=60, trust_env=False, verify=False) as client:  # noqa: S501  # no certificates to load
            return client.request(method, f"{self.url}/api/{path}", headers=headers, **options)

    def keys(self) -> Any:
        return self.ask("GET", "settings/keys").json()

    def key(self, name: str) -> Any:
        return next(key for key in self.keys()["keys"] if key["key"] == name)

    def put(self, body: Any, tag: str | None = None, **headers: str) -> httpx.Response:
        return self.ask("PUT", "settings", json=body, headers={"If-Match": tag or self.keys()["tag"]} | headers)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("daemon")
    path = folder / "config.yaml"
    path.write_text(TEXT)
    env = {"STATE_DIRECTORY": str(folder), "SOUNDWATCH_TOKEN": TOKEN, "SOUNDWATCH_CONFIG": str(path)}
    with demo_daemon(free_port(), "--device", "mic0", env=env) as url:
        yield Running(url, path)


@pytest.fixture(autouse=True)
def restored(daemon: Running) -> Iterator[None]:
    yield
    if daemon.path.read_text() != TEXT:
        daemon.path.write_text(TEXT)


@pytest.mark.slow
def test_a_change_is_shown_first_then_written_and_in_force(daemon: Running) -> None:
    key = daemon.key("detection.cooldown_s")
    assert (key["value"], key["default"], key["origin"], key["kind"]) == (5.0, 5.0, "file", "number")
    assert "Seconds after an event" in key["text"]
    body = {"changes": {"detection.cooldown_s": 9, "detection.classes.siren.threshold": 0.6}}
    checked = daemon.put(body | {"dry_run": True}).json()
    assert (checked["state"], daemon.path.read_text()) == ("checked", TEXT)
    assert {"number": 4, "kind": "added", "text": "  cooldown_s: 9   # long enough"} in checked["lines"]
    saved = daemon.put(body).json()
    assert (saved["state"], saved["detail"]) == ("reloaded", "what decides is changed")
    assert "# Where events go." in daemon.path.read_text()
    assert daemon.ask("GET", "config").json()["config"]["detection"]["cooldown_s"] == 9
    refused = daemon.put({"changes": {"detection.cooldwn_s": 1}})
    assert (refused.status_code, "did you mean `cooldown_s`?" in refused.json()["error"]) == (422, True)
    stale = daemon.put({"changes": {"detection.cooldown_s": 1}}, tag="of another content")
    assert stale.status_code == 412
    untagged = daemon.ask("PUT", "settings", json=body)
    assert untagged.status_code == 428
    foreign = daemon.put({"remove": ["detection.cooldown_s"]}, Origin="http://other.example")
    assert foreign.status_code == 403
    assert daemon.put({"remove": ["node"]}).json()["state"] == "unchanged"


def test_settings_are_shown_and_never_changed_without_a_token() -> None:
    with a_site() as site, site.client() as client:
        assert "only with a token" in client.get("/api/settings/keys").json()["problem"]
        refused = client.put("/api/settings", json={"remove": ["node"]}, headers={"If-Match": "x"})
        assert (refused.status_code, "only with a token" in refused.json()["error"]) == (403, True)
