"""Entry point of the Home Assistant add-on: writes a first configuration, finds the broker, and becomes soundwatch.

Conventions: the configuration is the user's file, which is written once and never changed. The broker's credentials
stay in the environment of the process and are in no file.
Source: developers.home-assistant.io, sections on add-on configuration, communication and presentation.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUPERVISOR_S = 10.0
CONFIGURATION = """\
# Configuration of soundwatch, written at the first start of the add-on. Edit it, and restart the add-on.
# https://www.home-assistant.io/docs/configuration/yaml explains the format; soundwatch's config.yaml lists every key.
node: {node}

# The microphone is the one that is chosen under "Audio" on the add-on's page. Other sources: the URL of a camera
# (rtsp://...), or several sources by name.
sources:
  home:
    device: {device}

sinks:
  - json                                       # the add-on's log
  - {page}   # the page in the sidebar, for Home Assistant only
{mqtt}
"""
NO_BROKER = """\
  # No broker was found at the first start. Install the add-on "Mosquitto broker", remove the # and restart:
  # - mqtt://core-mosquitto"""


@dataclass(frozen=True, slots=True)
class Broker:
    """An MQTT broker that the Supervisor knows.

    Attributes:
        host: Name of the machine.
        port: TCP port.
        tls: Whether the connection is encrypted.
        username: User name; empty for none.
        password: Password; never shown.
    """

    host: str
    port: int
    tls: bool
    username: str
    password: str

    @property
    def sink(self) -> str:
        """Output of soundwatch for this broker."""
        return f"mqtt{'s' if self.tls else ''}://{self.host}:{self.port}"


def find_broker(supervisor: str, token: str) -> Broker | None:
    """Ask the Supervisor for the broker; None where there is none, with a message.

    Args:
        supervisor: URL of the Supervisor.
        token: The add-on's token.
    """
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{supervisor}/services/mqtt", headers=headers)  # noqa: S310  # the Supervisor's
    try:
        with urllib.request.urlopen(request, timeout=SUPERVISOR_S) as answer:  # noqa: S310  # as above
            found: dict[str, Any] = json.load(answer)["data"]
        return Broker(
            str(found["host"]),
            int(found["port"]),
            bool(found.get("ssl", False)),
            str(found.get("username") or ""),
            str(found.get("password") or ""),
        )
    except urllib.error.HTTPError as error:
        say(f"The Supervisor names no MQTT broker ({error.code}); events go to the page only.")
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        say(f"The Supervisor did not name an MQTT broker: {type(error).__name__}: {error}.")
    return None


def write_configuration(path: Path, node: str, device: str, page: str, broker: Broker | None) -> None:
    """Write the first configuration, unless there is one."""
    if path.exists():
        return
    mqtt = NO_BROKER if broker is None else f"  - {broker.sink}"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")  # a stop while the file is written leaves no half configuration
    with part.open("w", encoding="utf-8") as file:
        file.write(CONFIGURATION.format(node=node, device=device, page=page, mqtt=mqtt))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    say(f"A first configuration is in {path}.")


def say(text: str) -> None:
    """Write a sentence to the add-on's log."""
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """Start soundwatch in place of this program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("/config/soundwatch.yaml"))
    parser.add_argument("--state", default="/data", help="folder of the journal")
    parser.add_argument("--supervisor", default="http://supervisor")
    parser.add_argument("--page", default="http://0.0.0.0:8433,proxy=172.30.32.2")
    parser.add_argument("--node", default="home")
    parser.add_argument("--device", default="default")
    parser.add_argument("--soundwatch", default=str(Path(sys.executable).parent / "soundwatch"))
    options = parser.parse_args()
    environment = os.environ | {"STATE_DIRECTORY": options.state}
    broker = find_broker(options.supervisor, environment.pop("SUPERVISOR_TOKEN", ""))
    if broker is not None and broker.username:
        environment |= {"MQTT_USERNAME": broker.username, "MQTT_PASSWORD": broker.password}
    write_configuration(options.config, options.node, options.device, options.page, broker)
    os.execve(options.soundwatch, [options.soundwatch, "run", "--config", str(options.config)], environment)  # noqa: S606


if __name__ == "__main__":
    main()
