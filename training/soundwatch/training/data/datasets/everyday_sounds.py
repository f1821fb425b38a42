"""Everyday sounds with their labels, and the fixed split that keeps whole kinds and recordings unseen.

Conventions: one folder with `metadata.csv`, a row a clip. A clip holds one of the classes, or none. A class that
may be audible without being the clip's label is *uncertain* there: the clip is neither an example nor a negative of
it. The columns used are file, kind, recording, licence, source, is_target_class, near_target, contaminated and
labels; `labels` holds SONYC's coarse tags for street recordings.
Split: `everyday_kinds.txt` lists the kinds that are held out whole, drawn once by a hash among large and among small
kinds. The recordings of the other kinds go to training, validation or test by a hash of the recording's name, so
that clips of one recording share a role. Thresholds are chosen on validation; nothing is chosen on test.
Does not: read sound, or decide how a clip is used.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from soundwatch.daemon.core.errors import DataError
from soundwatch.training.data.datasets.metadata_table import Row, describe_row, read_table

Role = Literal["train", "validation", "test_recordings", "test_kinds"]

COLUMNS: Final = (
    "file",
    "kind",
    "recording",
    "source",
    "licence",
    "is_target_class",
    "near_target",
    "contaminated",
    "labels",
)
STREET_KIND: Final = "street_nyc"
HELD_OUT_SHARE: Final = 0.2
TEST_SHARE: Final = 0.2
VALIDATION_SHARE: Final = 0.2
LARGE_KIND_CLIPS: Final = 20
HELD_OUT_FILE: Final = "everyday_kinds.txt"

BACKGROUND_KINDS: Final = frozenset(
    {
        "cafe",
        "city_ambience",
        "crowd",
        "factory",
        "farm",
        "forest_ambience",
        "forest_soundscape",
        "harbour",
        "indoor_ambience",
        "market",
        "nature_ambience",
        "night_ambience",
        "park",
        "rain",
        "residential",
        "sea_waves",
        "stream",
        "street",
        STREET_KIND,
        "traffic",
        "wind",
    }
)
TRANSIENT_KINDS: Final = frozenset(
    {
        "axe_chopping",
        "body_hit",
        "door_close",
        "door_knock",
        "footsteps",
        "gear_shift",
        "glass_clink",
        "gun_handling",
        "hammer",
        "metal_hit",
        "mouse_click",
        "pickaxe",
        "plastic_hit",
        "shovel",
        "wood_handling",
        "wood_smash",
    }
)

_UNCERTAIN_BY_KIND: Final = {
    "bulldozer": ("engine_idling",),
    "bus_truck_start": ("engine_idling",),
    "construction_site": ("drilling", "jackhammer"),
    "engine": ("engine_idling",),
    "school_yard": ("children_playing",),
    "siren_mixed": ("siren",),
}
_UNCERTAIN_BY_TAG: Final = {
    "alert_signal": ("car_horn", "siren"),
    "dog": ("dog_bark",),
    "engine": ("air_conditioner", "engine_idling"),
    "human_voice": ("children_playing",),
    "machinery_impact": ("drilling", "jackhammer"),
    "music": ("street_music",),
    "powered_saw": ("drilling", "jackhammer"),
}
_NO_TARGET_TAGS: Final = frozenset({"human_voice", "non_machinery_impact"})


@dataclass(frozen=True, slots=True)
class EverydayClip:
    """One clip of the set.

    Attributes:
        path: Its file.
        file: The path as `metadata.csv` has it.
        kind: Its folder.
        recording: What it was cut from.
        source: Where it is from.
        licence: As the source states it.
        label: The class that it holds; None for a negative.
        near_label: The class that a listener could confuse it with; None where there is none.
        uncertain: Classes that may be audible besides, so that an event of theirs is neither right nor false.
        tags: SONYC's coarse tags; empty for other clips.
        role: Its part of the split.
    """

    path: Path
    file: str
    kind: str
    recording: str
    source: str
    licence: str
    label: str | None
    near_label: str | None
    uncertain: frozenset[str]
    tags: frozenset[str]
    role: Role

    @property
    def names_no_target(self) -> bool:
        """True for a street recording whose tags name none of the classes."""
        return self.kind == STREET_KIND and self.tags <= _NO_TARGET_TAGS

    @property
    def is_clean_negative(self) -> bool:
        """True for a clip that holds none of the classes, as far as its labels say."""
        return self.names_no_target if self.kind == STREET_KIND else self.label is None

    @property
    def is_background(self) -> bool:
        """True for ambience that a street scene may be built on."""
        return self.label is None and self.kind in BACKGROUND_KINDS

    @property
    def is_negative(self) -> bool:
        """True for a foreground sound that holds none of the classes."""
        return self.label is None and self.kind not in BACKGROUND_KINDS


def read_everyday_sounds(folder: Path) -> tuple[EverydayClip, ...]:
    """Read the clips of a folder, in the order of its metadata.

    Raises:
        DataError: `metadata.csv` or one of its columns is missing, a row is wrong, or a listed file is missing.
    """
    metadata = folder / "metadata.csv"
    wanted = f"A folder of clips with metadata.csv was expected: a row a clip, with the columns {', '.join(COLUMNS)}."
    table = read_table(metadata, COLUMNS, wanted)
    for where, row in table:
        _check_row(where, row)
    rows = [row for _, row in table]
    if twice := [file for file, count in Counter(row["file"] for row in rows).items() if count > 1]:
        raise DataError(f"{metadata} lists {twice[0]} in two rows; each file once was expected. Keep one row.")
    held_out = held_out_kinds()
    unseen = {row["recording"] for row in rows if row["kind"] in held_out}
    clips = tuple(_clip(folder, row, held_out, unseen) for row in rows)
    for clip in clips:
        if not clip.path.exists():
            raise DataError(f"{clip.path} is listed in {metadata} and is not there; unpack the whole folder.")
    return clips


def _check_row(where: str, row: Row) -> None:
    """Refuse a row without a file of the folder, a kind or a recording."""
    file = Path(row["file"])
    inside = row["file"] and "\0" not in row["file"] and not file.is_absolute() and ".." not in file.parts
    if not inside or not row["kind"] or not row["recording"]:
        raise DataError(
            f"{where} has {describe_row(row)}; a file below the folder, a kind and a recording were expected. Correct "
            "the line, or remove it."
        )


def describe_sources(clips: Iterable[EverydayClip]) -> tuple[str, ...]:
    """Describe the sources of clips with their license, in the order of the sources' names."""
    counts = Counter((clip.source, clip.licence) for clip in clips)
    return tuple(f"{source}: {licence} ({count} clips)" for (source, licence), count in sorted(counts.items()))


def held_out_kinds() -> frozenset[str]:
    """Read the kinds that are held out whole, from the list beside this module."""
    text = (resources.files(__package__) / HELD_OUT_FILE).read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def draw_held_out_kinds(clip_counts: dict[str, int]) -> list[str]:
    """Draw kinds of negatives to hold out by their hashes: a fifth of the large kinds and a fifth of the small ones."""
    drawn = []
    for large in (True, False):
        kinds = [kind for kind, count in clip_counts.items() if (count >= LARGE_KIND_CLIPS) == large]
        kinds.sort(key=lambda kind: _fraction(f"kind:{kind}"))
        drawn += kinds[: round(HELD_OUT_SHARE * len(kinds))]
    return sorted(drawn)


def count_drawable_kinds(rows: Iterable[dict[str, str]]) -> dict[str, int]:
    """Count the clips of each kind that may be held out whole: no class, and not the street recordings."""
    counts: dict[str, int] = defaultdict(int)
    targets = set()
    for row in rows:
        counts[row["kind"]] += 1
        if row["is_target_class"]:
            targets.add(row["kind"])
    return {kind: count for kind, count in counts.items() if kind not in targets and kind != STREET_KIND}


def _clip(folder: Path, row: Row, held_out: frozenset[str], unseen: set[str]) -> EverydayClip:
    label = row["is_target_class"] or None
    tags = frozenset(row["labels"].split("|")) & set(_ALL_TAGS) if row["kind"] == STREET_KIND else frozenset()
    uncertain = {item for tag in tags for item in _UNCERTAIN_BY_TAG.get(tag, ())}
    if label is None:
        uncertain |= set(_UNCERTAIN_BY_KIND.get(row["kind"], ()))
        uncertain |= {_contaminant(part) for part in row["contaminated"].split("|") if part.strip()}
        uncertain |= {"street_music"} & {row["near_target"]}
    return EverydayClip(
        path=folder / row["file"],
        file=row["file"],
        kind=row["kind"],
        recording=row["recording"],
        source=row["source"],
        licence=row["licence"],
        label=label,
        near_label=row["near_target"] or None,
        uncertain=frozenset(uncertain),
        tags=tags,
        role=_role(row["kind"], row["recording"], held_out, unseen),
    )


_ALL_TAGS: Final = (*_UNCERTAIN_BY_TAG, "non_machinery_impact")


def _contaminant(part: str) -> str:
    """Return the class of one entry of `contaminated`, such as `music 0.62`."""
    name = part.split()[0]
    return "street_music" if name == "music" else name


def _role(kind: str, recording: str, held_out: frozenset[str], unseen: set[str]) -> Role:
    if kind in held_out:
        return "test_kinds"
    fraction = _fraction(f"recording:{recording}")
    if recording in unseen or fraction < TEST_SHARE:
        return "test_recordings"
    return "validation" if fraction < TEST_SHARE + VALIDATION_SHARE else "train"


def _fraction(name: str) -> float:
    """Return a number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48
