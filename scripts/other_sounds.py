"""Compute the other sounds that ship with the default model: its features of everyday recordings.

Usage: python scripts/other_sounds.py SOUNDS [IOWA]

SOUNDS has a `metadata.csv` with a row a clip: file, kind, recording, licence. IOWA has a folder a kind (MIT). Clips
under licences that allow copies of features are taken; licences that ask for their own terms for what is derived
(GPL, MPL, ODbL, CC BY-SA, Artistic) are not. No recording of speech is among them, so speech is synthesized, as by
`soundwatch data speech` (needs espeak-ng). Run this after every change of the model's weights, and copy the sources
that it prints to NOTICE. Takes a few minutes.
"""

from __future__ import annotations

import csv
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from rich.console import Console

from soundwatch.training.data.datasets.other_sounds import (
    FILE_NAME,
    OtherSound,
    OtherSounds,
    may_ship,
    write_other_sounds,
)
from soundwatch.training.data.windows.cache import decode
from soundwatch.training.fit.head.head_features import head_features
from soundwatch.training.model.network import MeanMaxPool
from soundwatch.training.model.pretrained import open_model
from soundwatch.training.sounds.speech_synthesis import write_speech

OUT: Final = Path(__file__).parents[1] / "training/soundwatch/training/data/datasets" / FILE_NAME
MAX_WINDOWS: Final = 4  # of a clip, spread over it
SPEECH_RECORDINGS: Final = 120
SPEECH_SEED: Final = 1

Row = tuple[Path, str, str, str]  # file, kind, recording, source and licence


def rows_of(sounds: Path, iowa: Path | None) -> Iterator[Row]:
    """Yield the clips that may be used."""
    with (sounds / "metadata.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if may_ship(row["licence"]):
                yield sounds / row["file"], row["kind"], row["recording"], f"{row['source']}: {row['licence']}"
    for path in sorted(iowa.rglob("*.ogg")) if iowa else ():
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path.parent.name).lower()
        yield path, kind, path.stem, "Environmental sounds of the University of Iowa: MIT"


def synthesize_speech(folder: Path) -> Iterator[Row]:
    """Synthesize talkers, pairs and crowds in many languages; all of one kind, so folds hold them as a whole."""
    write_speech(folder, SPEECH_RECORDINGS, SPEECH_SEED, Console(stderr=True))
    for path in sorted(folder.rglob("*.wav")):
        yield path, "speech", path.stem, "Speech synthesized by espeak-ng: made by soundwatch"


def main() -> None:
    """Compute, write and print the sources."""
    folders = [Path(name) for name in sys.argv[1:3]]
    network, contract = open_model("urban")
    for layer in network.modules():
        if isinstance(layer, MeanMaxPool):
            layer.recent_frames = 0
    sounds, sources, numbers = list[OtherSound](), Counter[str](), dict[str, int]()
    talk = Path(tempfile.mkdtemp(prefix="soundwatch-speech-")) / "talk"
    recorded = rows_of(folders[0], folders[1] if len(folders) > 1 else None)
    for path, kind, recording, source in (*recorded, *synthesize_speech(talk)):
        samples = decode(path, contract.features)
        features = head_features(network, contract.features, samples, torch.device("cpu"))
        if not len(features):
            continue
        windows = np.unique(np.linspace(0, len(features) - 1, MAX_WINDOWS).round().astype(np.int64))
        number = numbers.setdefault(f"{kind} {recording}", len(numbers))
        sounds.append(OtherSound(kind, number, features[windows]))
        sources[source] += 1
    shutil.rmtree(talk.parent)
    write_other_sounds(OUT, OtherSounds(contract.weights_sha256, tuple(sounds)))
    print("\n".join(f"- {source} ({count} clips)" for source, count in sorted(sources.items())))
    print(f"{OUT}: {len(sounds)} clips, {OUT.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
