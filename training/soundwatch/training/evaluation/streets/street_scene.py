"""Long recording with known onsets: held-out clips mixed over ambience.

Conventions: mono at `RATE_HZ`. Clips come in rounds of one per class, in random order, so a scene
has about equally many clips of every class; 6 to 14 s of random length separate a clip's end and the next onset.
As in scaper, the ambience keeps its level and the clip is set relative to it: SNR is the root
mean square of the clip over its own length relative to that of the ambience over its full length. Nothing is
clipped.
Does not: let clips overlap, or remove the background noise of a clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.training.data.audio.read_audio import RATE_HZ, measure_duration_s, read_mono, rms
from soundwatch.training.data.datasets.labeled_clips import LabeledClips
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.sounds.ambience import Ambience, gain_to_dbfs

AMBIENCE_DBFS: Final = -45.0
GAP_S: Final = (6.0, 14.0)


@dataclass(frozen=True, slots=True)
class PlacedClip:
    """Clip with its onset.

    Attributes:
        clip: Clip of one of the classes.
        label: Class.
        onset_sample: Onset in samples of the scene, at `RATE_HZ`.
    """

    clip: Clip
    label: str
    onset_sample: int


def plan_scene(data: LabeledClips, seed: int, limit_s: float) -> tuple[PlacedClip, ...]:
    """Place clips until the time is used or fewer than two classes have clips left.

    Raises:
        DataError: The clips are of fewer than two classes.
    """
    rng = np.random.default_rng(seed)
    placed: list[PlacedClip] = []
    end_s = 0.0
    for clip in _rounds(data, rng):
        onset_s = end_s + rng.uniform(*GAP_S)
        end_s = onset_s + measure_duration_s(clip.path, limit_s)
        if end_s > limit_s:
            break
        placed.append(PlacedClip(clip, data.label_of(clip), round(onset_s * RATE_HZ)))
    if not placed:
        raise DataError(
            f"{len(data.clips)} clips in the foreground and {limit_s / 60:g} minutes make no scene; clips of two "
            "classes and a minute are the least. Give more clips, or more --minutes."
        )
    return tuple(placed)


def _rounds(data: LabeledClips, rng: np.random.Generator) -> Iterator[Clip]:
    """Yield rounds of one clip per class, without a class twice in a row."""
    shuffled = [data.clips[place] for place in rng.permutation(len(data.clips))]
    waiting = [[clip for clip in shuffled if clip.class_id == class_id] for class_id in range(len(data.labels))]
    last = -1
    while len(classes := [class_id for class_id, left in enumerate(waiting) if left]) > 1:
        order = rng.permutation(classes).tolist()
        if order[0] == last:
            order.append(order.pop(0))
        for class_id in order:
            yield waiting[class_id].pop()
        last = order[-1]


def render_scene(placed: Sequence[PlacedClip], ambience: Ambience, snr_db: float) -> Iterator[Block]:
    """Yield the audio of a scene, each block one clip and the ambience before it."""
    end_sample = 0
    level = gain_to_dbfs(AMBIENCE_DBFS)
    for item in placed:
        clip = read_mono(item.clip.path)
        clip = clip * (gain_to_dbfs(AMBIENCE_DBFS + snr_db) / np.float32(max(rms(clip), 1e-9)))
        sound = ambience.take(item.onset_sample - end_sample + clip.size) * level
        sound[sound.size - clip.size :] += clip
        yield Block(read_only(sound[None]), RATE_HZ, end_sample)
        end_sample += sound.size
    sound = ambience.take(round(GAP_S[1] * RATE_HZ)) * level
    yield Block(read_only(sound[None]), RATE_HZ, end_sample)
