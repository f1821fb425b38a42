"""Description of a machine for Home Assistant, which makes entities of its topics.

Conventions: one retained message a machine (device discovery, Home Assistant 2024.11 and later). An entity is available
while soundwatch runs and its source delivers sound. Unique ids are made of node, source and class, so they are stable.
Entity ids (`default_entity_id`, Home Assistant 2025.10 and later; earlier ones make them of the names) are made of the
English names, so that automations do not depend on the language.
Source: home-assistant.io/integrations/mqtt, sections on discovery, binary_sensor, event, image, sensor and
switch.
Does not: publish (`sinks/mqtt/sink.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from soundwatch.daemon import __version__
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.languages.language import Language, sound_name, translated
from soundwatch.daemon.core.text.foreign_json import JSON_ERRORS
from soundwatch.daemon.sinks.daemon_view import ControlState
from soundwatch.daemon.sinks.mqtt.topics import Topics, topic_segment

BIRTH_TOPIC: Final = "homeassistant/status"
LARGEST_OFFSET: Final = 0.5  # of a threshold; a score is 0 to 1
LATE_LEVELS: Final = 6  # missed levels after which a level is unknown
_ONLINE: Final = "{{ 'online' if value == 'online' else 'offline' }}"
_SOURCE_RUNS: Final = "{{ 'online' if value == 'heard' else 'offline' }}"

Component = dict[str, Any]


def device_id(node: str) -> str:
    """Return an id of a machine of ASCII letters, digits, `_` and `-` only."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in node)
    mark = "" if plain == node else "_" + hashlib.sha256(node.encode()).hexdigest()[:6]
    return f"soundwatch_{plain}{mark}"


def discovery_topic(node: str) -> str:
    """Return the topic of a machine's description."""
    return f"homeassistant/device/{device_id(node)}/config"


def metered_sources(config: Config) -> Mapping[str, bool] | None:
    """Return which configured sources are calibrated; None where the sound level meter is off."""
    if not config.level.enabled:
        return None
    return {name: source.level_offset_db is not None for name, source in config.sources.items()}


@dataclass(frozen=True, slots=True)
class Device:
    """Part of a machine that Home Assistant shows.

    Attributes:
        node: Name of the machine.
        sources: Names of the sources.
        classes: Classes that are enabled.
        level_s: Interval of levels; 0 where none are published.
        metered: Whether each source's sound level is calibrated; None where the meter is off.
        control: Offsets and schedules; None where commands for them are not accepted.
        language: Language of the names of entities.
        clips: Links to clips are published.
        pictures: Pictures of clips are published.
    """

    node: str
    sources: Sequence[str]
    classes: Sequence[str]
    level_s: float
    metered: Mapping[str, bool] | None = None
    control: ControlState | None = None
    language: Language = "en"
    clips: bool = False
    pictures: bool = False


def discovery_payload(device: Device) -> bytes:
    """Return the description of a machine, JSON."""
    components, english = _components(device, device.language), _components(device, "en")
    for key, component in components.items():
        component["unique_id"] = f"{device_id(device.node)}_{key}"
        name = f"soundwatch {device.node} {english[key]['name']}".lower().replace(" ", "_")
        component["default_entity_id"] = f"{component['platform']}.{name}"
    return msgspec.json.encode(
        {
            "device": {
                "identifiers": [device_id(device.node)],
                "name": f"soundwatch {device.node}",
                "manufacturer": "soundwatch",
                "model": "Sound event detector",
                "sw_version": __version__,
            },
            "origin": {"name": "soundwatch", "sw_version": __version__},
            "qos": 1,
            "components": components,
        }
    )


def _components(device: Device, language: Language) -> dict[str, Component]:
    """Return the entities by the end of their unique ids."""
    topics = Topics(device.node)
    components = {"running": _running(topics, language)}
    for source in device.sources:
        of_source = _of_source(topics, source, device.classes, device.level_s, language)
        if device.level_s and device.metered is not None:
            calibrated = device.metered.get(source, False)
            of_source |= _sound_levels(of_source["level"], source, language, calibrated=calibrated)
        if device.clips:
            of_source["clip"] = _clip(topics, source, language)
        if device.pictures:
            of_source["picture"] = _picture(topics, source, language)
        for key, component in of_source.items():
            components[f"{topic_segment(source)}_{key}"] = component
    if device.control is not None:
        components |= _of_control(topics, device.control, language)
    return components


def removal_payload(old: bytes, new: bytes) -> bytes | None:
    """Return the new description with empty entries for entities that only the old one has; None for no such one."""
    try:
        before, after = msgspec.json.decode(old)["components"], msgspec.json.decode(new)["components"]
        removed = {key: {"platform": before[key]["platform"]} for key in before if key not in after}
    except (*JSON_ERRORS, LookupError, TypeError):
        return None
    return msgspec.json.encode(msgspec.json.decode(new) | {"components": {**after, **removed}}) if removed else None


def _running(topics: Topics, language: Language) -> Component:
    return {
        "platform": "binary_sensor",
        "name": translated("Running", language),
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": topics.status,
        "value_template": "{{ 'ON' if value == 'online' else 'OFF' }}",
    }


def _of_control(topics: Topics, control: ControlState, language: Language) -> dict[str, Component]:
    """Return the entities of offsets and schedules."""
    common = {"entity_category": "config", "availability": [{"topic": topics.status, "value_template": _ONLINE}]}
    components: dict[str, Component] = {}
    for source in control.offsets:
        components[f"{topic_segment(source)}_threshold_offset"] = {
            "platform": "number",
            "name": translated("{source} threshold offset", language, source=source),
            "icon": "mdi:tune-vertical",
            "command_topic": f"{topics.offset(source)}/set",
            "state_topic": topics.offset(source),
            "min": -LARGEST_OFFSET,
            "max": LARGEST_OFFSET,
            "step": 0.01,
            **common,
        }
    for name in control.schedules:
        components[f"schedule_{topic_segment(name)}"] = {
            "platform": "switch",
            "name": translated("Schedule {schedule}", language, schedule=name.replace("_", " ")),
            "icon": "mdi:calendar-clock",
            "command_topic": f"{topics.schedule(name)}/set",
            "state_topic": topics.schedule(name),
            **common,
        }
        components[f"schedule_{topic_segment(name)}_active"] = {
            "platform": "binary_sensor",
            "name": translated("Schedule {schedule} active", language, schedule=name.replace("_", " ")),
            "state_topic": topics.schedule_active(name),
            **common,
            "entity_category": "diagnostic",
        }
    return components


def _of_source(
    topics: Topics, source: str, classes: Sequence[str], level_s: float, language: Language
) -> dict[str, Component]:
    """Return the entities of a source, by the end of their ids."""
    running = {"topic": topics.status, "value_template": _ONLINE}
    available = [running, {"topic": topics.source_status(source), "value_template": _SOURCE_RUNS}]
    components: dict[str, Component] = {
        f"class_{topic_segment(class_)}": {
            "platform": "binary_sensor",
            "name": f"{source} {sound_name(class_, language)}",
            "device_class": "sound",
            "state_topic": topics.class_state(source, class_),
            "availability": available,
            "availability_mode": "all",
        }
        for class_ in classes
    }
    components["event"] = {
        "platform": "event",
        "name": translated("{source} sounds", language, source=source),
        "state_topic": topics.event(source),
        "event_types": ["start", "update", "end"],
        "availability": [running],
    }
    components["listening"] = {
        "platform": "switch",
        "name": translated("{source} listening", language, source=source),
        "command_topic": topics.set(source),
        "state_topic": topics.source_status(source),
        "value_template": "{{ 'OFF' if value == 'paused' else 'ON' }}",
        "availability": [running],
    }
    if level_s:
        components["level"] = {
            "platform": "sensor",
            "name": translated("{source} level", language, source=source),
            "state_class": "measurement",
            "unit_of_measurement": "dB",
            "icon": "mdi:waveform",
            "state_topic": topics.level(source),
            "value_template": "{{ value_json.level_dbfs }}",
            "expire_after": round(level_s * LATE_LEVELS) + 1,
            "availability": available,
            "availability_mode": "all",
        }
    return components


def _clip(topics: Topics, source: str, language: Language) -> Component:
    """Return the sensor of the latest clip, with its link among the attributes."""
    return {
        "platform": "sensor",
        "name": translated("{source} latest clip", language, source=source),
        "device_class": "timestamp",
        "icon": "mdi:music-note",
        "state_topic": topics.clip(source),
        "value_template": "{{ value_json.start }}",
        "json_attributes_topic": topics.clip(source),
        "availability": [{"topic": topics.status, "value_template": _ONLINE}],
    }


def _picture(topics: Topics, source: str, language: Language) -> Component:
    """Return the image of the latest clip's spectrogram."""
    return {
        "platform": "image",
        "name": translated("{source} latest picture", language, source=source),
        "icon": "mdi:chart-box-outline",
        "image_topic": topics.picture(source),
        "content_type": "image/png",
        "availability": [{"topic": topics.status, "value_template": _ONLINE}],
    }


def _sound_levels(level: Component, source: str, language: Language, *, calibrated: bool) -> dict[str, Component]:
    """Return the sensors of the sound level meter, like that of the digital level.

    Only sound pressure has the device class: Home Assistant knows dB and dBA there, and no dBFS.
    """
    kinds = {"laeq": ("LAeq", "dBA"), "lceq": ("LCeq", "dB"), "lafmax": ("LAFmax", "dBA")}
    components = {}
    for key, (title, unit) in kinds.items():
        value = {"name": f"{source} {title}", "value_template": f"{{{{ value_json.{key}_db }}}}"}
        if calibrated:
            value |= {"device_class": "sound_pressure", "unit_of_measurement": unit}
        else:
            value |= {"name": translated("{name} (uncalibrated)", language, name=value["name"])}
        components[key] = level | value
    return components
