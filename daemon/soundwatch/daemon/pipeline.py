"""The path of the sound: capture -> resample -> window -> mel -> classify -> decide.

Conventions: blocks in, what there is to tell out; None among the blocks is the end of the sound.
Nothing here knows a clock, a device, a file or a socket: the same blocks always tell the same.
Does not: open sources or write lines (`app.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from soundwatch.daemon.classify import classify
from soundwatch.daemon.decide import Rule, conclude, decide, undecided
from soundwatch.daemon.level import level_dbfs
from soundwatch.daemon.mel import mel
from soundwatch.daemon.resample import Resampling, resample
from soundwatch.daemon.types import Block, Classifier, EndReason, Event, Gap, Summary
from soundwatch.daemon.window import Windowing, window


def detect(
    blocks: Iterable[Block | None],
    classifier: Classifier,
    rules: tuple[Rule, ...],
    why_ended: Callable[[], EndReason],
) -> Iterator[Event | Gap | Summary]:
    """All that is to be told of one source's sound, the `Summary` last.

    Args:
        blocks: As the source gives them, then None if the sound itself has ended.
        classifier: Shared by all sources.
        rules: One per label.
        why_ended: Asked once there are no more blocks.
    """
    spec, labels = classifier.contract.features, classifier.contract.labels
    resampling, windowing, decided = Resampling(), Windowing(), undecided(rules)
    windows_done, lost_samples, level = 0, 0, None
    for block in blocks:
        resampling, pieces = resample(resampling, block, spec)
        for piece in pieces:
            if piece is not None and piece.lost_samples:
                lost_samples += piece.lost_samples
                yield Gap(piece.first_sample - piece.lost_samples, piece.lost_samples)
            windowing, windows = window(windowing, piece, spec)
            for full in windows:
                scores = classify(classifier, mel(full, spec), full)
                level = level_dbfs(full)
                decided, events = decide(decided, scores, level, rules, spec)
                windows_done += 1
                yield from events
    yield from conclude(decided, labels, windowing.end_sample, level, why_ended())
    yield Summary(windows_done, windowing.end_sample, lost_samples)
