"""Scores without decisions: of every window, and of a whole recording as their mean.

Conventions: the same stages as live. Windows that reach past the end count only where the recording
is shorter than one window, as training saw it: sound, then zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.source import Source
from soundwatch.daemon.core.types import Classifier, Features, Scores
from soundwatch.daemon.inference.classifier import classify_windows
from soundwatch.daemon.pipeline.pipeline import batched_features, features_only

BATCH_WINDOWS: Final = 16  # nobody waits for a recording's first window


def score_recording(path: Path, classifier: Classifier) -> dict[str, float]:
    """Score per label of a file.

    Raises:
        SourceError: It cannot be read to its end.
    """
    return score_source(Recording(path.stem, path, "fast", 0), classifier)


def score_source(source: Source, classifier: Classifier) -> dict[str, float]:
    """Score per label of a source's sound.

    Raises:
        SourceError: It cannot be read to its end.
    """
    spec = classifier.contract.features
    sums = np.zeros(len(classifier.contract.labels))
    count = 0
    for scores in score_windows(source, classifier):
        if scores.end_sample - scores.first_sample < spec.window_samples and count:
            break
        sums += scores.values
        count += 1
    if not count:
        raise SourceError(f"{source.info.description} holds no sound; at least one sample was wanted.")
    means: NDArray[np.float64] = sums / count
    return dict(zip(classifier.contract.labels, means.tolist(), strict=True))


def score_windows(source: Source, classifier: Classifier) -> Iterator[Scores]:
    """The scores of a source's windows, in order, until its sound ends.

    Raises:
        SourceError: It cannot be read to its end.
    """
    for _, heard in batched_features(chain(source.blocks(), [None]), classifier.contract.features, BATCH_WINDOWS):
        yield from classify_windows(classifier, features_only(heard))


def source_features(source: Source, spec: FeatureSpec) -> Iterator[Features]:
    """What a network of this front end sees of a source's windows, in order, until its sound ends.

    Raises:
        SourceError: It cannot be read to its end.
    """
    for _, heard in batched_features(chain(source.blocks(), [None]), spec, 1):
        yield from features_only(heard)
