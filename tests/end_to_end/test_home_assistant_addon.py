"""The Home Assistant add-on, started with a real broker and a proxy in front as ingress is, and its blueprints."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from soundwatch.daemon.config.config import ModelConfig
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.inference.loading import load_local_classifier
from support.cli_runner import SOUNDWATCH
from support.mosquitto import Listener, Mosquitto, wait_until
from support.ports import free_port
from support.reverse_proxy import reverse_proxy

ROOT = Path(__file__).resolve().parents[2]
ADDON = ROOT / "home-assistant" / "addon"
BLUEPRINTS = sorted((ROOT / "home-assistant" / "blueprints").glob("*.yaml"))
TOKEN = "token-of-the-add-on"  # noqa: S105  # of the test alone
INGRESS = "/api/hassio_ingress/Zm9v"


@contextmanager
def supervisor(service: dict[str, Any] | None) -> Iterator[str]:
    """Serve the Supervisor's answer about MQTT; without a service, its error."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["Authorization"] == f"Bearer {TOKEN}" and self.path == "/services/mqtt"
            status = 200 if known and service is not None else 400 if known else 403
            body = json.dumps({"result": "ok" if status == 200 else "error", "data": service or {}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no access log."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def started(folder: Path, supervisor_url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the entry point in an environment with nothing but what the Supervisor sets."""
    (folder / "data").mkdir(exist_ok=True)
    command: list[str | Path] = [sys.executable, ADDON / "start.py", "--config", folder / "config" / "soundwatch.yaml"]
    command += ["--state", folder / "data", "--supervisor", supervisor_url, "--device", "demo"]
    command += ["--page", f"http://127.0.0.1:{port},proxy=127.0.0.2", "--soundwatch", SOUNDWATCH]
    environment = {"PATH": os.environ["PATH"], "SUPERVISOR_TOKEN": TOKEN, "HOME": str(folder)}
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as addon,
    ):
        try:
            yield addon
        finally:
            addon.send_signal(signal.SIGTERM)
            addon.wait(60)


def test_the_add_on_finds_the_broker_and_serves_its_page_to_the_ingress_only(
    mosquitto_folder: Path, tmp_path: Path
) -> None:
    subprocess.run(["mosquitto_passwd", "-b", "-c", mosquitto_folder / "users", "addons", "open sesame"], check=True)
    (mosquitto_folder / "users").chmod(0o644)
    broker = Mosquitto(
        mosquitto_folder, free_port(), f"allow_anonymous false\npassword_file {mosquitto_folder}/users\n"
    )
    service = {"host": "127.0.0.1", "port": broker.port, "ssl": False, "username": "addons", "password": "open sesame"}
    port = free_port()
    with supervisor(service) as url, started(tmp_path, url, port) as addon:
        forwarded = b"\r\nX-Forwarded-Host: homeassistant.local:8123"
        with reverse_proxy(
            ("127.0.0.1", port), INGRESS, upgrades=True, own_address="127.0.0.2", headers=forwarded
        ) as proxy:
            wait_until(lambda: b'"serving"' in (tmp_path / "log").read_bytes(), "the page")
            page = httpx.get(f"{proxy}{INGRESS}/", trust_env=False)
            assert (page.status_code, "frame-ancestors 'self'" in page.headers["content-security-policy"]) == (
                200,
                True,
            )
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 403
        reader = Listener(broker.port, ("addons", "open sesame"))
        wait_until(lambda: reader.last("soundwatch/home/status") == b"online", "MQTT")
        reader.close()
        environment = Path(f"/proc/{addon.pid}/environ").read_bytes().split(b"\0")
        assert f"STATE_DIRECTORY={tmp_path}/data".encode() in environment
        assert not any(TOKEN.encode() in variable for variable in environment)
    broker.kill()
    written = tmp_path / "config" / "soundwatch.yaml"
    for file in (written, tmp_path / "log"):
        assert "sesame" not in file.read_text()
        assert TOKEN not in file.read_text()


def test_a_supervisor_that_speaks_no_http_and_a_half_configuration_do_not_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / ".soundwatch.yaml.part").write_text("node: h")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(65536)
                client.sendall(b"no HTTP\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        arguments: list[str | Path] = ["--config", tmp_path / "config" / "soundwatch.yaml", "--soundwatch", "/bin/true"]
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, ADDON / "start.py", *arguments, "--supervisor", url, "--device", "demo"],
            capture_output=True,
            check=False,
            timeout=60,
        )
        answering.join()
    assert done.returncode == 0, done.stderr
    assert b"did not name an MQTT broker: BadStatusLine" in done.stderr
    assert load_config(tmp_path / "config" / "soundwatch.yaml").sources["home"].device == "demo"
    assert [file.name for file in (tmp_path / "config").iterdir()] == ["soundwatch.yaml"]


def test_without_a_broker_the_first_configuration_says_what_to_do_and_is_written_once(tmp_path: Path) -> None:
    port = free_port()
    with supervisor(None) as url, started(tmp_path, url, port):
        wait_until(lambda: b"listening" in (tmp_path / "log").read_bytes(), "sound")
    written = tmp_path / "config" / "soundwatch.yaml"
    assert "# - mqtt://core-mosquitto" in written.read_text()
    assert load_config(written).sources["home"].device == "demo"
    assert "names no MQTT broker (400)" in (tmp_path / "log").read_text()
    mine = written.read_text() + "stats_s: 60\n"
    written.write_text(mine)
    with supervisor(None) as url, started(tmp_path, url, port):
        wait_until(lambda: (tmp_path / "log").read_bytes().count(b'"listening"') >= 2, "sound again")
    assert written.read_text() == mine


def test_the_packaged_add_on_has_the_requirements_of_the_wheel_and_a_version_that_is_a_tag(tmp_path: Path) -> None:
    wheel = tmp_path / "soundwatch-1.2.3.dev4+gabc1234-py3-none-any.whl"
    wheel.write_bytes(b"")
    subprocess.run([ROOT / "scripts" / "home-assistant-addon", wheel, tmp_path / "addon"], check=True)
    made = {path.name for path in (tmp_path / "addon").iterdir()}
    assert made == {"CHANGELOG.md", "DOCS.md", "Dockerfile", "config.yaml", "requirements.txt", "start.py", wheel.name}
    description = yaml.safe_load((tmp_path / "addon" / "config.yaml").read_text())
    assert description["version"] == "1.2.3.dev4"
    assert {"name", "version", "slug", "description", "arch"} <= description.keys(), "what the Supervisor requires"
    port = description["ingress_port"]
    assert f"http://0.0.0.0:{port},proxy=172.30.32.2" in (ADDON / "start.py").read_text()
    wanted = (tmp_path / "addon" / "requirements.txt").read_text().split()
    assert not any(line.startswith(("onnxruntime-gpu", "torch")) for line in wanted)


class _Input(str):
    """Name of an input that a blueprint uses."""


class _BlueprintLoader(yaml.SafeLoader):
    """YAML loader that reads `!input NAME`."""


_BlueprintLoader.add_constructor("!input", lambda _, node: _Input(node.value))


def inputs_used(tree: Any) -> set[str]:
    """Return the names of all inputs in a tree."""
    if isinstance(tree, _Input):
        return {str(tree)}
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return set().union(*map(inputs_used, parts))


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_uses_each_of_its_inputs_and_no_other(path: Path) -> None:
    tree = yaml.load(path.read_text(), _BlueprintLoader)  # noqa: S506  # a safe loader with one more tag
    header = tree.pop("blueprint")
    assert header["domain"] == "automation"
    assert inputs_used(tree) == header["input"].keys()
    assert {"triggers", "actions"} <= tree.keys()


def test_a_message_blueprint_offers_the_classes_of_the_shipped_model() -> None:
    tree = yaml.load((BLUEPRINTS[-1]).read_text(), _BlueprintLoader)  # noqa: S506  # as above
    offered = tree["blueprint"]["input"]["classes"]["selector"]["select"]["options"]
    assert set(load_local_classifier(ModelConfig()).contract.labels) <= set(offered)
