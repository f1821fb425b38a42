"""The path of the sound: capture -> resample -> window -> mel -> classify -> decide.

Conventions: blocks in, what there is to tell out; None among the blocks is the end of the sound.
Nothing here knows a clock, a device, a file or a socket: the same blocks always tell the same.
`hear` is the way to the network and `detect_events` the way from it, so that windows of one source or of many can be
classified together in between.
Does not: open sources or write lines (`app/build.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.types import (
    Block,
    Classifier,
    EndReason,
    Event,
    Features,
    FeatureWindow,
    Gap,
    Scores,
    StreamSummary,
)
from soundwatch.daemon.detection.decide import DetectionRule, DetectorState, decide, end_active_events, initial_state
from soundwatch.daemon.frontend.mel import MelState, mel
from soundwatch.daemon.frontend.resample import ResampleState, resample
from soundwatch.daemon.frontend.window import WindowState, level_dbfs, window
from soundwatch.daemon.inference.classifier import classify_windows


@dataclass(frozen=True, slots=True)
class FrontEndState:
    """Where a source's sound stands on its way to the network."""

    resampling: ResampleState = field(default_factory=ResampleState)
    windowing: WindowState = field(default_factory=WindowState)
    mels: MelState = field(default_factory=MelState)


@dataclass(frozen=True, slots=True)
class DetectionState:
    """Where a source stands behind the network.

    Attributes:
        decided: Each class's state.
        windows: How many were classified.
        lost_samples: Sound that was lost, at the model's rate.
        level_dbfs: Of the latest window.
        end_sample: Number of the sample after the last that was told of.
    """

    decided: DetectorState
    windows: int = 0
    lost_samples: int = 0
    level_dbfs: float | None = None
    end_sample: int = 0


def extract_features(
    state: FrontEndState, block: Block | None, spec: FeatureSpec, every: int = 1
) -> tuple[FrontEndState, list[FeatureWindow | Gap]]:
    """A block, or None for the end of the sound, through resample, window and mel.

    Args:
        state: After the block before.
        block: The next.
        spec: The model's.
        every: Pass over all windows but each so many-th, as a machine does that cannot keep up.

    Returns:
        The state after it, and in the order of the sound the windows that are now full and what was lost.
    """
    resampling, pieces = resample(state.resampling, block, spec)
    return _on(replace(state, resampling=resampling), pieces, spec, every)


def flush_features(
    state: FrontEndState, spec: FeatureSpec, every: int = 1
) -> tuple[FrontEndState, list[FeatureWindow | Gap]]:
    """What is still to be heard of a source that has gone, but may come back: what the resampler holds."""
    resampling, pieces = resample(state.resampling, None, spec)
    return _on(replace(state, resampling=resampling), pieces[:-1], spec, every)


def _on(
    state: FrontEndState, pieces: Sequence[Block | None], spec: FeatureSpec, every: int
) -> tuple[FrontEndState, list[FeatureWindow | Gap]]:
    """Sound at the model's rate on through window and mel."""
    heard: list[FeatureWindow | Gap] = []
    windowing, mels = state.windowing, state.mels
    for piece in pieces:
        if piece is not None and piece.lost_samples:
            heard.append(Gap(piece.first_sample - piece.lost_samples, piece.lost_samples))
        windowing, windows = window(windowing, piece, spec)
        for full in windows:
            if full.first_sample // spec.window_hop_samples % every:
                continue
            mels, features = mel(mels, full, spec)
            heard.append(FeatureWindow(features, level_dbfs(full)))
    return FrontEndState(state.resampling, windowing, mels), heard


def features_only(heard: Sequence[object]) -> list[Features]:
    """What the network is to see of what was heard."""
    return [each.features for each in heard if isinstance(each, FeatureWindow)]


def detect_events(
    state: DetectionState,
    heard: Sequence[FeatureWindow | Gap],
    scores: Sequence[Scores],
    rules: tuple[DetectionRule, ...],
    spec: FeatureSpec,
) -> tuple[DetectionState, list[Event | Gap]]:
    """What is to be told of what was heard, with the scores of the windows among it."""
    told: list[Event | Gap] = []
    each_score = iter(scores)
    for each in heard:
        if isinstance(each, Gap):
            end_sample = max(state.end_sample, each.first_sample + each.lost_samples)
            state = replace(state, lost_samples=state.lost_samples + each.lost_samples, end_sample=end_sample)
            told.append(each)
        else:
            decided, events = decide(state.decided, next(each_score), each.level_dbfs, rules, spec)
            end_sample = max(state.end_sample, each.features.end_sample)
            state = DetectionState(decided, state.windows + 1, state.lost_samples, each.level_dbfs, end_sample)
            told += events
    return state, told


def end_events(
    state: DetectionState, end_sample: int, rules: tuple[DetectionRule, ...], labels: tuple[str, ...], reason: EndReason
) -> tuple[DetectionState, list[Event]]:
    """End the events of a source that has gone, but may come back; what is heard then is judged by itself."""
    ends = end_active_events(state.decided, labels, end_sample, state.level_dbfs, reason)
    return replace(state, decided=initial_state(rules)), ends


def finish_stream(
    state: DetectionState, end_sample: int, labels: tuple[str, ...], reason: EndReason
) -> list[Event | Gap | StreamSummary]:
    """End the open events of a finished source, and append its `StreamSummary`."""
    ends = end_active_events(state.decided, labels, end_sample, state.level_dbfs, reason)
    return [*ends, StreamSummary(state.windows, end_sample, state.lost_samples)]


def batched_features(
    blocks: Iterable[Block | None], spec: FeatureSpec, batch_windows: int
) -> Iterator[tuple[FrontEndState, list[FeatureWindow | Gap]]]:
    """What is heard of a source, some windows at a time, each time with the state after it."""
    front_end_state, waiting = FrontEndState(), list[FeatureWindow | Gap]()
    for block in blocks:
        front_end_state, heard = extract_features(front_end_state, block, spec)
        waiting += heard
        while len(waiting) >= batch_windows:
            yield front_end_state, waiting[:batch_windows]
            del waiting[:batch_windows]
    yield front_end_state, waiting


def run_pipeline(
    blocks: Iterable[Block | None],
    classifier: Classifier,
    rules: tuple[DetectionRule, ...],
    end_reason: Callable[[], EndReason],
    batch_windows: int = 1,
    on_window: Callable[[FeatureWindow, Scores, DetectionState], None] | None = None,
) -> Iterator[Event | Gap | StreamSummary]:
    """All that is to be told of one source's sound, the `StreamSummary` last.

    Args:
        blocks: As the source gives them, then None if the sound itself has ended.
        classifier: Shared by all sources.
        rules: One per label.
        end_reason: Asked once there are no more blocks.
        batch_windows: How many to classify together; more than one where nobody waits for the events.
        on_window: Called with each window, its scores and the state before it, before its events are yielded.
    """
    spec, labels = classifier.contract.features, classifier.contract.labels
    detection_state, end_sample = DetectionState(initial_state(rules)), 0
    for front_end_state, heard in batched_features(blocks, spec, batch_windows):
        end_sample = front_end_state.windowing.end_sample
        each_score = iter(classify_windows(classifier, features_only(heard)))
        for each in heard:
            own = [next(each_score)] if isinstance(each, FeatureWindow) else []
            if on_window is not None and isinstance(each, FeatureWindow):
                on_window(each, own[0], detection_state)
            detection_state, told = detect_events(detection_state, [each], own, rules, spec)
            yield from told
    yield from finish_stream(detection_state, end_sample, labels, end_reason())


OFFLINE_BATCH_WINDOWS: Final = 16  # nobody waits for a recording's first window
