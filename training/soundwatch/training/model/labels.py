"""The ten classes in UrbanSound8K's order and spelling: the index of a class is its `classID`."""

from __future__ import annotations

from typing import Final

LABELS: Final = (
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
)
