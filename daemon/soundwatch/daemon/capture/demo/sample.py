"""The sample recording: a dog that barks, then a car horn, 24 s.

Source: `dog_bark` and `vehicle_horn` of AntumDeluge's sounds mod (CC0), joined, with noise at -60 dBFS between them.
Does not: show how accurate a model is: the two sounds are in the training data of `urban`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

SAMPLE_NAME: Final = "sample"
SAMPLE_PATH: Final = Path(__file__).with_name("sample.ogg")


def recording_path(path: Path) -> Path:
    """Return the path of the sample recording for its name, and any other path, or a file of that name, as it is."""
    return SAMPLE_PATH if str(path) == SAMPLE_NAME and not path.exists() else path
