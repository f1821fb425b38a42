"""Precision and recall of tags on everyday sounds that no training used.

Conventions: a clip belongs to a tag if its kind is one of the tag's group. A clip has a tag if the score of one of its
windows is at least `TAG_THRESHOLD`, as in the daemon. Clips of other kinds may contain the sound of a tag, too,
so a precision is a lower limit. Street recordings of New York are left out, since their tags are coarse.
Rule: a tag is kept if its group has `MIN_TRAINING_CLIPS` training clips and `MIN_RECORDINGS` test recordings. Where its
group has `MIN_VALIDATION_CLIPS` validation clips, some of them must have the tag, and `MIN_PRECISION` of the validation
clips with the tag must be of the group. The scores are those of the test recordings, which choose nothing.
Does not: select thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from torch import nn

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.model.operation import TagScore
from soundwatch.daemon.core.model.tags import TAG_THRESHOLD
from soundwatch.training.data.datasets.everyday_sounds import STREET_KIND, EverydayClip
from soundwatch.training.distillation.sound_groups import GROUPS, SoundGroup, group_of
from soundwatch.training.distillation.tags import load_tag_layer
from soundwatch.training.evaluation.streets.held_out import CheckpointClassifier
from soundwatch.training.evaluation.streets.street_events import score_clips

_TEST_ROLES: Final = frozenset({"test_recordings", "test_kinds"})
MIN_TRAINING_CLIPS: Final = 8
MIN_RECORDINGS: Final = 3
MIN_VALIDATION_CLIPS: Final = 3
MIN_PRECISION: Final = 0.25


def judged_groups(clips: Sequence[EverydayClip]) -> tuple[SoundGroup, ...]:
    """Return the groups with enough clips to learn from and enough test recordings."""
    learned = [0] * len(GROUPS)
    tested: list[set[str]] = [set() for _ in GROUPS]
    for clip in clips:
        place = group_of(clip.kind)
        if place is not None:
            learned[place] += clip.role == "train"
            tested[place] |= {clip.recording} if clip.role in _TEST_ROLES else set()
    return tuple(
        group
        for group, clips_count, recordings in zip(GROUPS, learned, tested, strict=True)
        if clips_count >= MIN_TRAINING_CLIPS and len(recordings) >= MIN_RECORDINGS
    )


def measure_tags(
    checkpoint: Path, network: nn.Sequential, contract: ModelContract, clips: Sequence[EverydayClip], console: Console
) -> dict[str, TagScore]:
    """Measure the tags of a run on the clips outside its training set, and return those to keep with their scores.

    Args:
        checkpoint: Checkpoint of the run.
        network: Its network of the classes.
        contract: Contract of the network.
        clips: Everyday sounds of all roles.
        console: Console for the progress.

    Raises:
        ModelError: The run had no groups.
        DataError: No group has enough clips, or a clip cannot be read.
    """
    unseen = [clip for clip in clips if clip.role != "train" and clip.kind != STREET_KIND]
    groups = judged_groups(clips)
    if not groups:
        raise DataError(
            f"No group of everyday sounds has {MIN_TRAINING_CLIPS} training clips and {MIN_RECORDINGS} test recordings "
            "among these sounds, so no tag can be judged. Give the whole folder, or leave out --sounds."
        )
    names = tuple(group.name for group in groups)
    classifier = CheckpointClassifier(
        nn.Sequential(*list(network)[:-1], load_tag_layer(checkpoint, names)),
        msgspec.structs.replace(
            contract,
            labels=names,
            activation="sigmoid",
            thresholds=dict.fromkeys(names, TAG_THRESHOLD),
            operation=None,
            scores=(),
        ),
    )
    tracks = score_clips(classifier, unseen, console)
    highest = np.stack([track.values.max(axis=0) for track in tracks])  # (N, G)
    tested = np.array([clip.role in _TEST_ROLES for clip in unseen])
    on_validation = count_tags(highest[~tested], [clip for clip in unseen if clip.role not in _TEST_ROLES], groups)
    on_test = count_tags(highest[tested], [clip for clip in unseen if clip.role in _TEST_ROLES], groups)
    return {name: score for name, score in on_test.items() if is_useful(on_validation[name])}


def is_useful(on_validation: TagScore) -> bool:
    """Return False if validation clips show that a tag is never or seldom right."""
    if on_validation.clips < MIN_VALIDATION_CLIPS:
        return True
    return (on_validation.recall or 0) > 0 and (on_validation.precision or 0) >= MIN_PRECISION


def count_tags(
    highest: NDArray[np.float32], clips: Sequence[EverydayClip], groups: Sequence[SoundGroup]
) -> dict[str, TagScore]:
    """Compute the scores of each tag from the highest score of every clip (N, G)."""
    scores = {}
    for place, group in enumerate(groups):
        own = np.array([clip.kind in group.kinds for clip in clips], np.bool_)
        tagged = highest[:, place] >= TAG_THRESHOLD
        hits = int((own & tagged).sum())
        scores[group.name] = TagScore(
            clips=int(own.sum()),
            recordings=len({clip.recording for clip in clips if clip.kind in group.kinds}),
            recall=round(hits / int(own.sum()), 3) if own.any() else None,
            precision=round(hits / int(tagged.sum()), 3) if tagged.any() else None,
        )
    return scores
