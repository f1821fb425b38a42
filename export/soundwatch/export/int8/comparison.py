"""Comparison of a network with its int8 version, measured on this machine in turn.

Conventions: processor milliseconds a window, one thread; accuracy is top-1 of whole clips, as `soundwatch evaluate`
has it.
Rule: the int8 file is kept if it takes at most `MOST_TIME_RATIO` of the time of the network and loses at most
`MOST_POINTS` of accuracy.
Calibration uses recordings that the network was trained on, never those that score it. Where there are no others, the
network is scored on its training data, and the result says so.
Does not: quantize (`quantization.py`).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.capture.recordings.recording import Recording
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import INT8_SUFFIX, ModelContract
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.diagnostics.benchmark import window_ms
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.pipeline.scoring import source_features
from soundwatch.export.int8.quantization import to_int8
from soundwatch.export.model_card import write_card
from soundwatch.export.staging import staging_folder
from soundwatch.training.cli.options import split_own
from soundwatch.training.data.datasets.labeled_clips import LabeledClips, labeled_clips
from soundwatch.training.data.datasets.urbansound8k import Clip, read_metadata, split_by_folds
from soundwatch.training.evaluation.clips import evaluate_model

MOST_TIME_RATIO: Final = 0.9
MOST_POINTS: Final = 0.5
CALIBRATION_CLIPS: Final = 256
ROUNDS: Final = 9
SEED: Final = 4


@dataclass(frozen=True, slots=True)
class CalibrationData:
    """Recordings for the comparison.

    Attributes:
        calibration: Clips that the network was trained on.
        scored: Clips to score.
    """

    calibration: tuple[Clip, ...]
    scored: LabeledClips


@dataclass(frozen=True, slots=True)
class Int8Comparison:
    """Result of the comparison.

    Attributes:
        model: Name and hash of the network.
        int8_model: Name and hash of its int8 version.
        window_ms: Processor time of a window by the network, the median of `ROUNDS`.
        window_ms_int8: Processor time of a window by the int8 version.
        ratio: Median over rounds of the time of the int8 version to that of the network in the same round.
        ratio_least: Smallest ratio of a round.
        ratio_most: Largest ratio of a round.
        scored_on: Description of the scored clips.
        trained_on_these: True if the network was trained on some of the scored clips.
        clips: Number of scored clips.
        accuracy: Accuracy of the network.
        accuracy_int8: Accuracy of the int8 version.
        kept: True if the rule keeps the int8 version.
    """

    model: str
    int8_model: str
    window_ms: float
    window_ms_int8: float
    ratio: float
    ratio_least: float
    ratio_most: float
    scored_on: str
    trained_on_these: bool
    clips: int
    accuracy: float
    accuracy_int8: float
    kept: bool

    def __str__(self) -> str:
        memory = ", which it had learned from" if self.trained_on_these else ""
        return (
            f"{self.int8_model}: {self.ratio:.2f} times the processor time of {self.model} ({self.ratio_least:.2f} to "
            f"{self.ratio_most:.2f}; {self.window_ms_int8:.2f} and {self.window_ms:.2f} ms a window), accuracy "
            f"{self.accuracy_int8:.4f} and {self.accuracy:.4f} of {self.clips} clips of {self.scored_on}{memory}. "
            f"At most {MOST_TIME_RATIO:g} times and {MOST_POINTS:g} points lost were expected: "
            f"{'kept' if self.kept else 'not kept'}."
        )


def is_kept(ratio: float, accuracy: float, accuracy_int8: float) -> bool:
    """Return True if the rule above keeps an int8 network."""
    return ratio <= MOST_TIME_RATIO and round(100 * (accuracy - accuracy_int8), 6) <= MOST_POINTS


def compare_int8(
    model: Path, out: Path, material: CalibrationData, console: Console
) -> tuple[list[Path], Int8Comparison]:
    """Quantize a network, measure both, and put the int8 file and its card in place if the rule keeps it.

    Args:
        model: The network's ONNX file, or a shipped model's name.
        out: Folder, made if it does not exist.
        material: Recordings.
        console: For progress.

    Returns:
        The files in place, if any, and the result.

    Raises:
        ConfigError: The model is in 8 bits already, or there are no recordings for calibration or to score.
        ModelError: The network has no convolution but the first.
        DataError: A recording cannot be read.
    """
    network = load_classifier_file(model, "cpu", "onnx")
    if network.contract.name.endswith(INT8_SUFFIX):
        raise ConfigError(f"{network.path} is in 8 bits already; give the network that it was made of.")
    if not material.calibration or not material.scored.clips:
        missing = "trained on" if not material.calibration else "to score"
        raise ConfigError(f"--data holds no recordings {missing}; give the data that {network.contract.name} is of.")
    mel_db = calibration_windows(material.calibration, network.contract.features, console)
    with staging_folder(out) as folder:
        content, contract = to_int8(network.path, network.contract, mel_db)
        file = folder / f"{contract.name}.onnx"
        file.write_bytes(content)
        comparison = _measure(network, load_classifier_file(file, "cpu"), material.scored, console)
        if not comparison.kept:
            return [], comparison
        return [part.replace(out / part.name) for part in (file, write_card(folder, contract))], comparison


def calibration_windows(clips: Sequence[Clip], spec: FeatureSpec, console: Console) -> NDArray[np.float32]:
    """Return mel decibels (N, C, M, T) of the first windows of a fixed random selection of clips."""
    drawn = np.random.default_rng(SEED).permutation(len(clips))[:CALIBRATION_CLIPS]
    sources = (
        Recording(clips[place].path.stem, clips[place].path, "fast", 0)
        for place in track(drawn, "Reading windows for calibration", console=console, transient=True)
    )
    windows = chain.from_iterable(islice(source_features(source, spec), 1) for source in sources)
    return np.stack([features.mel_db for features in windows])


def _measure(network: Classifier, int8: Classifier, scored: LabeledClips, console: Console) -> Int8Comparison:
    """Measure the time of both networks in turn, and the accuracy of both."""
    rounds_ms = [(window_ms(network, 1), window_ms(int8, 1)) for _ in range(ROUNDS)]
    ratios = [int8_ms / network_ms for network_ms, int8_ms in rounds_ms]
    before, after = (evaluate_model(item, scored, console) for item in (network, int8))
    ratio = statistics.median(ratios)
    return Int8Comparison(
        model=network.contract.identity,
        int8_model=int8.contract.identity,
        window_ms=statistics.median(network_ms for network_ms, _ in rounds_ms),
        window_ms_int8=statistics.median(int8_ms for _, int8_ms in rounds_ms),
        ratio=ratio,
        ratio_least=min(ratios),
        ratio_most=max(ratios),
        scored_on=scored.name,
        trained_on_these=bool(before.trained_on_these),
        clips=before.clips,
        accuracy=before.accuracy,
        accuracy_int8=after.accuracy,
        kept=is_kept(ratio, before.accuracy, after.accuracy),
    )


def load_calibration_data(
    root: Path, layout: str, folds: tuple[int, ...] | None, contract: ModelContract
) -> CalibrationData:
    """Load the recordings for a comparison: UrbanSound8K by folds, or the held-out part of class folders.

    Args:
        root: The recordings.
        layout: "urbansound8k" or "folders".
        folds: UrbanSound8K folds to score; None for those that the model was not trained on, or all present ones.
        contract: Contract of the model.

    Raises:
        ConfigError: Folds are given, and class folders have none.
        DataError: The recordings have another layout.
    """
    if layout == "folders":
        split = split_own(root, contract.features, None, folds)
        return CalibrationData(split.train, labeled_clips(split))
    present = sorted({clip.fold for clip in read_metadata(root) if clip.path.is_file()})
    others = tuple(fold for fold in present if fold not in contract.provenance.folds)
    scored = folds or others or tuple(present)
    learned = tuple(fold for fold in present if fold in contract.provenance.folds)
    learned = tuple(fold for fold in learned if fold not in scored) or learned
    calibration = split_by_folds(root, learned, ()).train if learned else ()
    return CalibrationData(calibration, labeled_clips(split_by_folds(root, scored, ())))
