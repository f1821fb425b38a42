"""Groups of everyday sounds as auxiliary outputs, with targets from YAMNet's scores and the clips' kinds.

Conventions: G groups in the order of `GROUPS`. A group's soft target is the highest of its AudioSet classes' scores in
a window; if a clip's kind names a group, the group's target is at least the audibility of the clip in its mix.
Source: indexes into YAMNet's output, in the order of its published class map (AudioSet's ontology, CC BY 4.0).
Does not: contain the ten classes: their targets come from labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SoundGroup:
    """Group of sounds with a common name.

    Attributes:
        name: Name in snake case.
        audioset: Indexes of its classes in YAMNet's output.
        kinds: Folders of everyday sounds in the group.
    """

    name: str
    audioset: tuple[int, ...]
    kinds: tuple[str, ...] = ()


GROUPS: Final = (
    SoundGroup("speech", (0, 2, 3, 5, 12), ("speech", "speech_acted", "radio_chatter")),
    SoundGroup("shouting", (6, 7, 8, 9, 11), ("scream",)),
    SoundGroup("laughing", (13, 14, 15, 16, 17, 18), ("laughing",)),
    SoundGroup("baby_cry", (19, 20), ("baby_cry",)),
    SoundGroup("singing", (24, 25, 26, 27, 28, 29, 30, 31, 32)),
    SoundGroup("snoring", (36, 37, 38, 41), ("snoring", "breathing")),
    SoundGroup("cough_sneeze", (42, 43, 44, 45), ("cough", "sneeze")),
    SoundGroup("footsteps", (46, 47, 48), ("footsteps",)),
    SoundGroup("clapping", (56, 58, 62), ("clapping", "hand_claps_kit")),
    SoundGroup("crowd", (61, 63, 64, 65), ("crowd", "cafe")),
    SoundGroup("cat", (76, 77, 78, 80), ("cat",)),
    SoundGroup("horse", (82, 83, 84), ("horse", "horse_cart")),
    SoundGroup("cow", (85, 86, 87), ("cow",)),
    SoundGroup("pig", (88, 89), ("pig",)),
    SoundGroup("sheep_goat", (90, 91, 92), ("sheep",)),
    SoundGroup("poultry", (93, 94, 95, 96, 97, 98, 99, 100, 101, 102), ("rooster", "duck_goose")),
    SoundGroup("birds", (106, 107, 108, 109, 116), ("birds_chirping", "birds_exotic", "big_bird")),
    SoundGroup("crow", (112, 113), ("crow",)),
    SoundGroup("owl", (114, 115), ("owl",)),
    SoundGroup("insects", (121, 122, 123, 124, 125, 126), ("crickets", "insects_flying", "bees")),
    SoundGroup("frog", (127, 128), ("frog",)),
    SoundGroup("wild_animal", (103, 104, 105), ("big_animal_growl", "lion")),
    SoundGroup("drums", (156, 157, 158, 159, 160, 161, 162, 163, 166, 167), ("drums", "percussion")),
    SoundGroup("bell", (195, 196, 197, 199, 200, 201, 202), ("bell", "gong", "level_crossing")),
    SoundGroup("wind", (277, 279), ("wind",)),
    SoundGroup("rain", (283, 284, 285), ("rain",)),
    SoundGroup("thunder", (280, 281), ("thunder",)),
    SoundGroup(
        "running_water", (286, 287, 364, 365, 366, 443, 444, 445, 446), ("running_tap", "pouring_water", "stream")
    ),
    SoundGroup("water_drops", (442, 488), ("water_drops",)),
    SoundGroup("sea_waves", (288, 289), ("sea_waves",)),
    SoundGroup("fire", (292, 293), ("fire_crackling",)),
    SoundGroup("boat", (295, 296, 297, 298, 299), ("ship",)),
    SoundGroup("road_traffic", (300, 301, 308, 321), ("traffic", "car_passing")),
    SoundGroup("tires_brakes", (306, 307, 311), ("car_brake",)),
    SoundGroup("truck_bus", (310, 315), ("bus_truck_start",)),
    SoundGroup("motorcycle", (320,)),
    SoundGroup("train", (322, 323, 324, 325, 326, 327, 328)),
    SoundGroup("aircraft", (329, 330, 331, 332, 334), ("airplane",)),
    SoundGroup("helicopter", (333,), ("helicopter",)),
    SoundGroup("chainsaw_mower", (340, 341), ("chainsaw",)),
    SoundGroup("door", (348, 351, 352, 356, 357, 480), ("door_close", "door_creak")),
    SoundGroup("doorbell", (349, 350), ("doorbell",)),
    SoundGroup("knock", (353, 354), ("door_knock",)),
    SoundGroup("dishes", (358, 359), ("dishes",)),
    SoundGroup("glass", (435, 436, 437), ("glass_breaking", "glass_clink")),
    SoundGroup("vacuum_cleaner", (371,), ("vacuum_cleaner",)),
    SoundGroup("toilet_flush", (368,), ("toilet_flush",)),
    SoundGroup("toothbrush", (369, 370), ("brushing_teeth",)),
    SoundGroup("typing", (378, 379, 380), ("keyboard_typing",)),
    SoundGroup("telephone", (383, 384, 385, 386, 387, 388)),
    SoundGroup("smoke_alarm", (393, 394)),
    SoundGroup("alarm", (382, 389, 392, 475), ("alarm", "alarm_clock")),
    SoundGroup("clock", (400, 401, 402), ("clock_tick",)),
    SoundGroup("whistle", (35, 396, 397), ("whistle",)),
    SoundGroup("hammer", (413,), ("hammer",)),
    SoundGroup("saw", (415,), ("hand_saw", "circular_saw")),
    SoundGroup("explosion", (420, 430), ("explosion",)),
    SoundGroup("fireworks", (426, 427), ("fireworks",)),
    SoundGroup("thump", (454, 455, 460, 462), ("body_hit",)),
    SoundGroup("crash", (463, 464), ("crash",)),
)
_PLACES_OF_KIND: Final = {kind: place for place, group in enumerate(GROUPS) for kind in group.kinds}


def group_of(kind: str) -> int | None:
    """Return the index of the group of a kind of sound; None without a group."""
    return _PLACES_OF_KIND.get(kind)


def group_scores(audioset_scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """Compute scores (..., G) of the groups from YAMNet's scores (..., A)."""
    columns = [audioset_scores[..., list(group.audioset)].max(axis=-1) for group in GROUPS]
    return np.stack(columns, axis=-1).astype(np.float32)
