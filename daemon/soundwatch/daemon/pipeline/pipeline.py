"""The signal path: resample -> (condition) -> window -> mel -> classify -> decide.

Conventions: blocks in; events, gaps and a summary out. None in place of a block marks the end of the recording or
stream. The functions use no clock, device, file or socket, so the output depends on the blocks alone.
`extract_features` is the part before the network and `detect_events` the part after it, so that windows of one or many
sources can be classified in one batch in between.
Does not: open sources or write lines (`app/build.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.event import EndReason, Event
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.stream import Gap, StreamSummary
from soundwatch.daemon.core.records.window import Features, FeatureWindow
from soundwatch.daemon.detection.decide import DetectionRule, DetectorState, decide, end_active_events, initial_state
from soundwatch.daemon.frontend.condition import UNCHANGED, Conditioning, ConditionState, condition
from soundwatch.daemon.frontend.mel import MelState, mel
from soundwatch.daemon.frontend.resample import ResampleState, resample
from soundwatch.daemon.frontend.window import WindowState, level_dbfs, window
from soundwatch.daemon.inference.classifier import classify_windows

OFFLINE_BATCH_WINDOWS: Final = 16  # a recording has no latency limit


@dataclass(frozen=True, slots=True)
class FrontEndState:
    """State of one source's stages before the network."""

    resampling: ResampleState = field(default_factory=ResampleState)
    conditioning: ConditionState = field(default_factory=ConditionState)
    windowing: WindowState = field(default_factory=WindowState)
    mels: MelState = field(default_factory=MelState)


@dataclass(frozen=True, slots=True)
class DetectionState:
    """State of one source's stages after the network.

    Attributes:
        decided: State of the detector, per class.
        windows: Number of windows classified.
        lost_samples: Number of samples lost, at the model's rate.
        level_dbfs: Level of the latest window.
        end_sample: Number of the sample after the last one processed.
    """

    decided: DetectorState
    windows: int = 0
    lost_samples: int = 0
    level_dbfs: float | None = None
    end_sample: int = 0


def extract_features(
    state: FrontEndState,
    block: Block | None,
    spec: FeatureSpec,
    every: int = 1,
    conditioning: Conditioning = UNCHANGED,
) -> tuple[FrontEndState, list[FeatureWindow | Gap]]:
    """Process one block through resample, window and mel.

    Args:
        state: State after the previous block.
        block: The next block; None at the end of the sound.
        spec: Front end of the model.
        every: Keep one window in so many; more than 1 where the machine cannot keep up.
        conditioning: Gain and high-pass of the source.

    Returns:
        The new state, and the completed windows and the gaps in the order of the sound.
    """
    resampling, pieces = resample(state.resampling, block, spec)
    return _compute_windows(replace(state, resampling=resampling), pieces, spec, every, conditioning)


def flush_features(
    state: FrontEndState, spec: FeatureSpec, every: int, conditioning: Conditioning
) -> tuple[FrontEndState, list[FeatureWindow | Gap]]:
    """Flush the resampler of a lost source that may return; the arguments are those of `extract_features`."""
    resampling, pieces = resample(state.resampling, None, spec)
    return _compute_windows(replace(state, resampling=resampling), pieces[:-1], spec, every, conditioning)


def _compute_windows(
    state: FrontEndState, pieces: Sequence[Block | None], spec: FeatureSpec, every: int, conditioning: Conditioning
) -> tuple[FrontEndState, list[FeatureWindow | Gap]]:
    """Process blocks at the model's rate through condition, window and mel; levels are those without the gain."""
    items: list[FeatureWindow | Gap] = []
    conditioned, windowing, mels = state.conditioning, state.windowing, state.mels
    for piece in pieces:
        if piece is not None:
            if piece.lost_samples:
                items.append(Gap(piece.first_sample - piece.lost_samples, piece.lost_samples))
            conditioned, piece = condition(conditioned, piece, conditioning)
        windowing, windows = window(windowing, piece, spec)
        for full in windows:
            if full.first_sample // spec.window_hop_samples % every:
                continue
            mels, features = mel(mels, full, spec)
            level = level_dbfs(full)
            items.append(FeatureWindow(features, None if level is None else level - conditioning.gain_db))
    return FrontEndState(state.resampling, conditioned, windowing, mels), items


def features_only(items: Sequence[object]) -> list[Features]:
    """Return the features of the windows among these items, in order."""
    return [item.features for item in items if isinstance(item, FeatureWindow)]


def detect_events(
    state: DetectionState,
    items: Sequence[FeatureWindow | Gap],
    scores: Sequence[Scores],
    rules: tuple[DetectionRule, ...],
    spec: FeatureSpec,
) -> tuple[DetectionState, list[Event | Gap]]:
    """Run detection for windows and gaps.

    Args:
        state: State after the previous items.
        items: Windows and gaps in the order of the sound.
        scores: Scores of the windows among the items, in order.
        rules: One rule for each class.
        spec: Front end of the model.

    Returns:
        The new state, and the events and gaps in order.
    """
    results: list[Event | Gap] = []
    remaining_scores = iter(scores)
    for item in items:
        if isinstance(item, Gap):
            end_sample = max(state.end_sample, item.first_sample + item.lost_samples)
            state = replace(state, lost_samples=state.lost_samples + item.lost_samples, end_sample=end_sample)
            results.append(item)
        else:
            decided, events = decide(state.decided, next(remaining_scores), item.level_dbfs, rules, spec)
            end_sample = max(state.end_sample, item.features.end_sample)
            state = DetectionState(decided, state.windows + 1, state.lost_samples, item.level_dbfs, end_sample)
            results += events
    return state, results


def end_events(
    state: DetectionState, end_sample: int, rules: tuple[DetectionRule, ...], labels: tuple[str, ...], reason: EndReason
) -> tuple[DetectionState, list[Event]]:
    """End the events of a lost source that may return, and reset its detector."""
    ends = end_active_events(state.decided, labels, end_sample, state.level_dbfs, reason)
    return replace(state, decided=initial_state(rules)), ends


def finish_stream(
    state: DetectionState, end_sample: int, labels: tuple[str, ...], reason: EndReason
) -> list[Event | Gap | StreamSummary]:
    """End the open events of a finished source, and append its `StreamSummary`."""
    ends = end_active_events(state.decided, labels, end_sample, state.level_dbfs, reason)
    return [*ends, StreamSummary(state.windows, end_sample, state.lost_samples)]


def batched_features(
    blocks: Iterable[Block | None], spec: FeatureSpec, batch_windows: int, conditioning: Conditioning = UNCHANGED
) -> Iterator[tuple[FrontEndState, list[FeatureWindow | Gap]]]:
    """Yield the windows and gaps of a source in batches, with the state after each batch."""
    front_end_state, pending = FrontEndState(), list[FeatureWindow | Gap]()
    for block in blocks:
        front_end_state, items = extract_features(front_end_state, block, spec, conditioning=conditioning)
        pending += items
        while len(pending) >= batch_windows:
            yield front_end_state, pending[:batch_windows]
            del pending[:batch_windows]
    yield front_end_state, pending


def run_pipeline(
    blocks: Iterable[Block | None],
    classifier: Classifier,
    rules: tuple[DetectionRule, ...],
    end_reason: Callable[[], EndReason],
    batch_windows: int = 1,
    on_window: Callable[[FeatureWindow, Scores, DetectionState], None] | None = None,
    conditioning: Conditioning = UNCHANGED,
) -> Iterator[Event | Gap | StreamSummary]:
    """Yield the events and gaps of one source, and its `StreamSummary` last.

    Args:
        blocks: Blocks of the source, then None if the recording or stream has ended.
        classifier: The model; sources may share it.
        rules: One rule for each label.
        end_reason: Returns why the source ended; called after the last block.
        batch_windows: Number of windows in a batch; 1 for the shortest delay.
        on_window: Called with a window, its scores and the previous state, before the window's events are yielded.
        conditioning: Gain and high-pass of the source.
    """
    spec, labels = classifier.contract.features, classifier.contract.labels
    detection_state, end_sample = DetectionState(initial_state(rules)), 0
    for front_end_state, items in batched_features(blocks, spec, batch_windows, conditioning):
        end_sample = front_end_state.windowing.end_sample
        batch_scores = iter(classify_windows(classifier, features_only(items)))
        for item in items:
            scores = [next(batch_scores)] if isinstance(item, FeatureWindow) else []
            if on_window is not None and isinstance(item, FeatureWindow):
                on_window(item, scores[0], detection_state)
            detection_state, results = detect_events(detection_state, [item], scores, rules, spec)
            yield from results
    yield from finish_stream(detection_state, end_sample, labels, end_reason())
