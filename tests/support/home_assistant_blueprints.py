"""Holds blueprints against Home Assistant's own schemas, and the automations that they make with example inputs.

Run by a Python that has the package `homeassistant`: tests/daemon/sinks/mqtt/test_home_assistant.py.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

INPUTS: dict[str, Any] = {
    "sounds": "event.street_sounds",
    "sensor": "binary_sensor.street_siren",
    "classes": ["siren"],
    "min_score": 0.5,
    "pause": {"minutes": 5},
    "patience": {"minutes": 2},
    "message": [{"action": "notify.notify", "data": {"message": "{{ sound }}"}}],
}


async def main(paths: list[str]) -> None:
    """Print the name of each blueprint that Home Assistant takes; an exception for the first that it does not."""
    from homeassistant.core import HomeAssistant  # type: ignore[import-not-found]
    from homeassistant.helpers import frame  # type: ignore[import-not-found]

    home = HomeAssistant(tempfile.gettempdir())
    frame.async_setup(home)
    from homeassistant.components.automation.config import (  # type: ignore[import-not-found]
        AUTOMATION_BLUEPRINT_SCHEMA,
        PLATFORM_SCHEMA,
    )
    from homeassistant.components.blueprint.models import Blueprint, BlueprintInputs  # type: ignore[import-not-found]
    from homeassistant.components.homeassistant.triggers import state  # type: ignore[import-not-found]
    from homeassistant.util.yaml import load_yaml_dict  # type: ignore[import-not-found]

    for path in map(Path, paths):
        data = load_yaml_dict(str(path))
        blueprint = Blueprint(data, path=path.name, expected_domain="automation", schema=AUTOMATION_BLUEPRINT_SCHEMA)
        errors = blueprint.validate()
        assert not errors, errors
        given = {name: INPUTS[name] for name in blueprint.inputs}
        inputs = BlueprintInputs(blueprint, {"use_blueprint": {"path": path.name, "input": given}})
        inputs.validate()
        automation = PLATFORM_SCHEMA({"id": "1", "alias": path.stem, **inputs.async_substitute()})
        for trigger in automation["triggers"]:
            assert trigger["platform"] == "state"
            await state.async_validate_trigger_config(home, trigger)
        print(path.stem)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
