"""Compute the other sounds that ship with the default model: its features of everyday recordings.

Usage: python scripts/other_sounds.py SOUNDS [IOWA]

SOUNDS has a `metadata.csv` with a row a clip: file, kind, recording, licence. IOWA has a folder a kind (MIT). Clips
under licences that allow copies of features are taken; licences that ask for their own terms for what is derived
(GPL, MPL, ODbL, CC BY-SA, Artistic) are not. Run this after every change of the model's weights, and copy the sources
that it prints to NOTICE. Takes a few minutes.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch

from soundwatch.training.data.cache import decode
from soundwatch.training.data.other_sounds import FILE_NAME, OtherSound, OtherSounds, write_other_sounds
from soundwatch.training.fit.head_features import head_features
from soundwatch.training.model.network import MeanMaxPool
from soundwatch.training.model.pretrained import open_model

OUT: Final = Path(__file__).parents[1] / "training/soundwatch/training/data" / FILE_NAME
ALLOWED: Final = re.compile(
    r"CC[ -]?0.*|CC[ -]BY([ -][234]\.0)?|CC BY-NC 3\.0|CC-BY/CC0|public domain.*|BSD.*|own .*CC0.*"
)
MAX_WINDOWS: Final = 4  # of a clip, spread over it

Row = tuple[Path, str, str, str]  # file, kind, recording, source and licence


def rows_of(sounds: Path, iowa: Path | None) -> Iterator[Row]:
    """Yield the clips that may be used."""
    with (sounds / "metadata.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if ALLOWED.fullmatch(row["licence"]):
                yield sounds / row["file"], row["kind"], row["recording"], f"{row['source']}: {row['licence']}"
    for path in sorted(iowa.rglob("*.ogg")) if iowa else ():
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path.parent.name).lower()
        yield path, kind, path.stem, "Environmental sounds of the University of Iowa: MIT"


def main() -> None:
    """Compute, write and print the sources."""
    folders = [Path(name) for name in sys.argv[1:3]]
    network, contract = open_model("urban")
    for layer in network.modules():
        if isinstance(layer, MeanMaxPool):
            layer.recent_frames = 0
    sounds, sources, numbers = list[OtherSound](), Counter[str](), dict[str, int]()
    for path, kind, recording, source in rows_of(folders[0], folders[1] if len(folders) > 1 else None):
        samples = decode(path, contract.features)
        features = head_features(network, contract.features, samples, torch.device("cpu"))
        if not len(features):
            continue
        windows = np.unique(np.linspace(0, len(features) - 1, MAX_WINDOWS).round().astype(np.int64))
        number = numbers.setdefault(f"{kind} {recording}", len(numbers))
        sounds.append(OtherSound(kind, number, features[windows]))
        sources[source] += 1
    write_other_sounds(OUT, OtherSounds(contract.weights_sha256, tuple(sounds)))
    print("\n".join(f"- {source} ({count} clips)" for source, count in sorted(sources.items())))
    print(f"{OUT}: {len(sounds)} clips, {OUT.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
