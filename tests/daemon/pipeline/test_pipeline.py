"""Every division of a signal into blocks gives equal events."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundwatch.daemon.config.config import DetectionConfig
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.event import Event
from soundwatch.daemon.core.records.stream import Gap, StreamSummary
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.pipeline.pipeline import run_pipeline
from support.fakes import SMALL_CONTRACT, SMALL_SPEC, BandClassifier, silence, tone

RATE_HZ = 11_025
DETECTION = DetectionConfig(confirm_windows=1.2, min_duration_s=0.1, cooldown_s=0.2, update_s=0.5)
SOUND = np.concatenate(
    [
        silence(0.7, RATE_HZ),
        tone(300, 0.8, RATE_HZ),
        silence(0.6, RATE_HZ),
        tone(3000, 1.2, RATE_HZ, 0.1) + tone(500, 1.2, RATE_HZ, 0.3),
        silence(0.31, RATE_HZ),
    ],
    axis=1,
)


def events_of(blocks: list[Block | None]) -> list[Event | Gap | StreamSummary]:
    rules = build_rules(DETECTION, SMALL_CONTRACT)
    return list(run_pipeline(blocks, BandClassifier(), rules, lambda: "end_of_stream"))


def blocks_of(cuts: list[int], lost: tuple[int, int] | None = None) -> Iterator[Block | None]:
    """Yield SOUND cut at these samples, without the samples from lost[0] to lost[1]."""
    total = SOUND.shape[1]
    edges = sorted({0, total, *(cut % total for cut in cuts), *(lost or ())})
    missing = 0
    for first, end in pairwise(edges):
        if lost and lost[0] <= first < lost[1]:
            missing += end - first
            continue
        yield Block(SOUND[:, first:end], RATE_HZ, first, missing)
        missing = 0
    yield None


WHOLE = events_of(list(blocks_of([])))


def test_the_scene_gives_events_of_both_tones() -> None:
    starts = [(e.label, round(e.onset_sample / SMALL_SPEC.rate_hz, 1)) for e in WHOLE if isinstance(e, Event)]
    assert {label for label, _ in starts} == {"low", "high"}
    assert isinstance(WHOLE[-1], StreamSummary)
    assert WHOLE[-1].lost_samples == 0


@pytest.mark.slow
@given(st.lists(st.integers(1, 10**6), max_size=40))
@settings(max_examples=50, deadline=None)
def test_every_division_into_blocks_gives_equal_events(cuts: list[int]) -> None:
    assert events_of(list(blocks_of(cuts))) == WHOLE


@pytest.mark.slow
@given(st.lists(st.integers(1, 10**6), max_size=20), st.integers(1, SOUND.shape[1] - 2), st.integers(1, 2 * RATE_HZ))
@settings(max_examples=50, deadline=None)
def test_every_division_around_a_loss_gives_equal_events_and_counts_the_loss(
    cuts: list[int], first_lost: int, lost_samples: int
) -> None:
    lost = (first_lost, min(first_lost + lost_samples, SOUND.shape[1] - 1))
    results = events_of(list(blocks_of(cuts, lost)))
    assert results == events_of(list(blocks_of([], lost)))
    gaps = [gap for gap in results if isinstance(gap, Gap)]
    summary = results[-1]
    assert isinstance(summary, StreamSummary)
    assert summary.lost_samples == sum(gap.lost_samples for gap in gaps)
    expected = (lost[1] - lost[0]) * SMALL_SPEC.rate_hz / RATE_HZ
    assert abs(summary.lost_samples - expected) < 2 or expected < 2
    assert abs(summary.end_sample - SOUND.shape[1] * SMALL_SPEC.rate_hz / RATE_HZ) < 3


def test_the_network_receives_single_windows_of_the_contracts_shape() -> None:
    classifier = BandClassifier()
    list(run_pipeline(blocks_of([]), classifier, build_rules(DETECTION, SMALL_CONTRACT), lambda: "end_of_stream"))
    assert set(classifier.seen_shapes) == {(1, *SMALL_SPEC.input_shape)}
