"""Topics of a machine named edge1 with a source mic0."""

from __future__ import annotations

DOG = "soundwatch/edge1/mic0/class/dog_bark"


EVENT = "soundwatch/edge1/mic0/event"


STATUS = "soundwatch/edge1/status"


DISCOVERY = "homeassistant/device/soundwatch_edge1/config"


OWNER = "soundwatch/edge1/owner"
