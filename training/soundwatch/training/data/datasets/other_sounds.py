"""Other sounds that ship with a model: a network's features of everyday recordings, for models of own classes.

Conventions: features are those before the network's head, (W, P) for W windows, of recordings that are none of the
user's classes unless their kind is. A file belongs to one network, named by the hash of its weights. It stores
square roots of features in 31 steps, since features are never negative and most are small. NOTICE has the sources.
Does not: compute features (`fit/head/head_features.py`), or read sound.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.files.atomic_file import replace_file

FILE_NAME: Final = "other_sounds.npz"
_STEPS: Final = 31  # 5 bits compress to half the size of 8, and move no figure

_MAY_SHIP: Final = re.compile(
    r"CC[ -]?0.*|CC[ -]BY([ -][234]\.0)?|CC BY-NC 3\.0|CC-BY/CC0|public domain.*|BSD.*|own .*CC0.*"
)

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OtherSound:
    """One recording.

    Attributes:
        kind: Kind of sound.
        recording: Number of the recording that the clip is from, within the kind.
        features: Features (W, P) of its windows.
    """

    kind: str
    recording: int
    features: Features


@dataclass(frozen=True, slots=True)
class OtherSounds:
    """Recordings with features of one network.

    Attributes:
        weights_sha256: Hash of the network's weights.
        sounds: The recordings.
    """

    weights_sha256: str
    sounds: tuple[OtherSound, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds, sorted."""
        return tuple(sorted({sound.kind for sound in self.sounds}))

    def without(self, kinds: Collection[str]) -> OtherSounds:
        """Return the recordings of all other kinds.

        Raises:
            ConfigError: There is no such kind.
        """
        unknown = sorted(set(kinds) - set(self.kinds))
        if unknown:
            raise ConfigError(
                f"--leave-out {unknown[0]}, and no other sounds of this kind ship with the model; there are "
                f"{', '.join(self.kinds)}."
            )
        return replace(self, sounds=tuple(sound for sound in self.sounds if sound.kind not in kinds))


def may_ship(licence: str) -> bool:
    """Return True for a licence that asks for no terms of its own for what is derived."""
    return _MAY_SHIP.fullmatch(licence) is not None


def named_alike(kinds: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds whose name has a word of a class's name in it, or the reverse: they may hold the class."""
    words = {word for label in labels for word in _words(label)}
    return tuple(kind for kind in kinds if any(a in b or b in a for a in _words(kind) for b in words))


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", name.lower()) if len(word) > 2]


def read_other_sounds(weights_sha256: str) -> OtherSounds | None:
    """Read the recordings that ship for the network of these weights; None where none do."""
    content = (resources.files("soundwatch.training") / "data" / "datasets" / FILE_NAME).read_bytes()
    found = decode_other_sounds(content)
    return found if found.weights_sha256 == weights_sha256 else None


def decode_other_sounds(content: bytes) -> OtherSounds:
    """Decode a file that `write_other_sounds` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        features = (np.square(stored["features"].astype(np.float32) / _STEPS) * stored["top"]).astype(np.float32)
        parts = np.split(features, np.cumsum(stored["windows"])[:-1])
        rows = zip(stored["kinds"].tolist(), stored["recordings"].tolist(), parts, strict=True)
        return OtherSounds(str(stored["weights_sha256"]), tuple(OtherSound(*row) for row in rows))


def write_other_sounds(path: Path, others: OtherSounds) -> None:
    """Write recordings as a file, atomically."""
    features = np.concatenate([sound.features for sound in others.sounds])
    top = features.max(axis=0) + np.float32(1e-9)
    steps = np.round(np.sqrt(features / top) * _STEPS).astype(np.uint8)

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                weights_sha256=np.array(others.weights_sha256),
                kinds=np.array([sound.kind for sound in others.sounds]),
                recordings=np.array([sound.recording for sound in others.sounds], np.int32),
                windows=np.array([len(sound.features) for sound in others.sounds], np.int32),
                features=steps,
                top=top,
            )

    replace_file(path, write)
