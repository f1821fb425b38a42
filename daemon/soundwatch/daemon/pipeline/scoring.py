"""Scores without detection: of every window, or their mean over a recording.

Conventions: the stages are those of a live source. A window that reaches past the end is padded with zeros, as in
training, and counts only where the recording is shorter than one window.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.process.stop_request import raise_if_stop_requested
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.source import Source
from soundwatch.daemon.core.records.window import Features
from soundwatch.daemon.frontend.condition import UNCHANGED, Conditioning
from soundwatch.daemon.inference.classifier import classify_windows
from soundwatch.daemon.pipeline.pipeline import OFFLINE_BATCH_WINDOWS, batched_features, features_only


def score_source(source: Source, classifier: Classifier) -> dict[str, float]:
    """Return the mean score of each label over a source's windows.

    Raises:
        SourceError: The source cannot be read to its end.
    """
    scores, _ = score_source_and_tags(source, classifier)
    return scores


def score_source_and_tags(source: Source, classifier: Classifier) -> tuple[dict[str, float], dict[str, float]]:
    """Compute the mean score of each label and of each tag over a source's windows.

    Raises:
        SourceError: The source cannot be read to its end.
    """
    contract = classifier.contract
    spec, names = contract.features, (*contract.labels, *contract.tags)
    sums = np.zeros(len(names))
    count = 0
    for scores in score_windows(source, classifier):
        raise_if_stop_requested()
        if scores.end_sample - scores.first_sample < spec.window_samples and count:
            break
        sums += np.concatenate((scores.values, scores.tag_values))
        count += 1
    if not count:
        raise SourceError(
            f"{source.info.description} is too short to be scored: of its samples none is left at the model's rate of "
            f"{spec.rate_hz} Hz. Record for at least {spec.window_ms} ms."
        )
    means: list[float] = (sums / count).tolist()
    classes = len(contract.labels)
    return dict(zip(contract.labels, means, strict=False)), dict(zip(contract.tags, means[classes:], strict=True))


def score_windows(source: Source, classifier: Classifier, conditioning: Conditioning = UNCHANGED) -> Iterator[Scores]:
    """Yield the scores of a source's windows, in order.

    Args:
        source: The source.
        classifier: The model.
        conditioning: Gain and high-pass of the source.

    Raises:
        SourceError: The source cannot be read to its end.
    """
    for _, items in batched_features(
        chain(source.blocks(), [None]), classifier.contract.features, OFFLINE_BATCH_WINDOWS, conditioning
    ):
        yield from classify_windows(classifier, features_only(items))


def source_features(source: Source, spec: FeatureSpec) -> Iterator[Features]:
    """Yield the features of a source's windows, in order.

    Raises:
        SourceError: The source cannot be read to its end.
    """
    for _, items in batched_features(chain(source.blocks(), [None]), spec, 1):
        yield from features_only(items)
