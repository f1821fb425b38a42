"""Holds a device description on standard input against Home Assistant's own schemas, and runs its templates.

Run by a Python that has the package `homeassistant`, which needs one of its own: see tests/daemon/sinks/
test_home_assistant.py.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import tempfile
from typing import Any


async def main() -> None:
    """Print how many components Home Assistant takes; an exception for the first that it does not."""
    from homeassistant.core import HomeAssistant  # type: ignore[import-not-found]
    from homeassistant.helpers import frame  # type: ignore[import-not-found]

    home = HomeAssistant(tempfile.gettempdir())
    frame.async_setup(home)  # what checks templates asks for it
    from homeassistant.components.mqtt.const import SUPPORTED_COMPONENTS  # type: ignore[import-not-found]
    from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA  # type: ignore[import-not-found]

    description: dict[str, Any] = json.load(sys.stdin)
    DEVICE_DISCOVERY_SCHEMA(json.loads(json.dumps(description)))
    for component in description["components"].values():
        assert component["platform"] in SUPPORTED_COMPONENTS
        platform = importlib.import_module(f"homeassistant.components.mqtt.{component['platform']}")
        shared = {key: description[key] for key in ("device", "origin", "qos")}
        asked = shared | {key: value for key, value in component.items() if key != "platform"}
        assert set(asked) <= set(platform.DISCOVERY_SCHEMA(asked)), "unknown keys are dropped without a word"
    print(len(description["components"]))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
