"""Scores without decisions: of every window, and of a whole recording as their mean.

Conventions: the same stages as live. Windows that reach past the end count only where the recording
is shorter than one window, as training saw it: sound, then zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.classify import classify
from soundwatch.daemon.contract import FeatureSpec
from soundwatch.daemon.errors import SourceError
from soundwatch.daemon.mel import mel
from soundwatch.daemon.resample import Resampling, resample
from soundwatch.daemon.types import Classifier, Scores, Source, Window
from soundwatch.daemon.window import Windowing, window


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
    for heard in _windows(source, spec):
        if heard.heard_samples < spec.window_samples and count:
            break
        sums += classify(classifier, mel(heard, spec), heard).values
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
    spec = classifier.contract.features
    return (classify(classifier, mel(heard, spec), heard) for heard in _windows(source, spec))


def _windows(source: Source, spec: FeatureSpec) -> Iterator[Window]:
    resampling, windowing = Resampling(), Windowing()
    for block in chain(source.blocks(), [None]):
        resampling, pieces = resample(resampling, block, spec)
        for piece in pieces:
            windowing, windows = window(windowing, piece, spec)
            yield from windows
