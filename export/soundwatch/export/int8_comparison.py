"""Comparison of a network with its int8 version, measured on this machine in turn.

Conventions: processor milliseconds a window, one thread; accuracy is top-1 of whole clips, as `soundwatch evaluate`
has it.
Rule: the int8 file is kept if it takes at most `MIN_SPEEDUP` of the time of the network and loses at most `MOST_POINTS`
of accuracy.
Calibration uses recordings that the network was trained on, never those that score it. Where there are no others, the
network is scored on its training data, and the result says so.
Does not: quantize (`int8.py`).
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.capture.recording import Recording
from soundwatch.daemon.core.contract import INT8_SUFFIX, FeatureSpec, ModelContract
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.types import Classifier
from soundwatch.daemon.diagnostics.benchmark import window_ms
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.pipeline.scoring import source_features
from soundwatch.export.int8 import to_int8
from soundwatch.export.model_card import model_card
from soundwatch.training.cli.options import split_own
from soundwatch.training.data.urbansound8k import Clip, read_metadata, split_by_folds
from soundwatch.training.evaluation.clips import evaluate_model
from soundwatch.training.model.labels import LABELS

WORTH_IT: Final = 0.9
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
        folds: Of UrbanSound8K that the scored ones are of; empty for other data.
        labels: That the scored clips' classes are counted through.
        folder: The data's name; None for UrbanSound8K.
    """

    calibration: tuple[Clip, ...]
    scored: tuple[Clip, ...]
    folds: tuple[int, ...]
    labels: tuple[str, ...] = LABELS
    folder: str | None = None


class Int8Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the comparison.

    Attributes:
        model: The network's name and hash.
        twin: The twin's.
        calibration_windows: That the ranges of its maps were learned from.
        window_ms: Of the network, the median of some rounds.
        window_ms_int8: Of the twin.
        ratio: Median over rounds of the twin's time to the network's in the same round.
        ratio_least: The smallest.
        ratio_most: The largest.
        scored_on: Recordings that both were scored on, in words.
        trained_on_these: Whether the network had learned from some of them.
        clips: Scored.
        accuracy: The network's.
        accuracy_int8: The twin's.
        kept: Whether the twin is worth having.
    """

    model: str
    twin: str
    calibration_windows: int
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
            f"{self.twin}: {self.ratio:.2f} times the processor time of {self.model} ({self.ratio_least:.2f} to "
            f"{self.ratio_most:.2f}; {self.window_ms_int8:.2f} and {self.window_ms:.2f} ms a window), accuracy "
            f"{self.accuracy_int8:.4f} and {self.accuracy:.4f} of {self.clips} clips of {self.scored_on}{memory}. "
            f"At most {WORTH_IT:g} times and {MOST_POINTS:g} points lost were expected: "
            f"{'kept' if self.kept else 'not kept'}."
        )


def is_worth_shipping(ratio: float, accuracy: float, accuracy_int8: float) -> bool:
    """Return whether an int8 network is kept, by the rule above."""
    return ratio <= WORTH_IT and round(100 * (accuracy - accuracy_int8), 6) <= MOST_POINTS


def compare_int8(
    model: Path, out: Path, material: CalibrationData, console: Console
) -> tuple[list[Path], Int8Comparison]:
    """Quantize a network, measure both, and put the int8 file and its card in place if the rule keeps it.

    Args:
        model: The network's ONNX file, or a shipped model's name.
        out: Folder that exists.
        material: Recordings.
        console: For progress.

    Returns:
        The files in place, if any, and what was measured.

    Raises:
        ConfigError: The model is a twin itself, or there is nothing to learn from or to score.
        ModelError: It has nothing to round.
        DataError: A recording cannot be read.
    """
    network = load_classifier_file(model, "cpu", "onnx")
    if network.contract.name.endswith(INT8_SUFFIX):
        raise ConfigError(f"{network.path} is in 8 bits already; give the network that it was made of.")
    if not material.calibration or not material.scored:
        missing = "trained on" if not material.calibration else "to score"
        raise ConfigError(f"--data holds no recordings {missing}; give the data that {network.contract.name} is of.")
    mel_db = calibration_windows(material.calibration, network.contract.features, console)
    with tempfile.TemporaryDirectory(dir=out, prefix=".unproven-") as folder:
        content, contract = to_int8(network.path, network.contract, mel_db)
        file = Path(folder) / f"{contract.name}.onnx"
        file.write_bytes(content)
        trial = _measure(network, load_classifier_file(file, "cpu"), len(mel_db), material, console)
        if not trial.kept:
            return [], trial
        card = Path(folder) / f"{contract.name}.md"
        card.write_text(model_card(contract), encoding="utf-8")
        return [item.replace(out / item.name) for item in (file, card)], trial


def calibration_windows(clips: Sequence[Clip], spec: FeatureSpec, console: Console) -> NDArray[np.float32]:
    """Return mel decibels (N, C, M, T) of the first windows of a fixed random selection of clips."""
    drawn = np.random.default_rng(SEED).permutation(len(clips))[:CALIBRATION_CLIPS]
    sources = (
        Recording(clips[place].path.stem, clips[place].path, "fast", 0)
        for place in track(drawn, "Hearing windows to calibrate with", console=console, transient=True)
    )
    windows = chain.from_iterable(islice(source_features(source, spec), 1) for source in sources)
    return np.stack([features.mel_db for features in windows])


def _measure(
    network: Classifier, twin: Classifier, windows: int, material: CalibrationData, console: Console
) -> Int8Comparison:
    """Measure the time of both networks in turn, and the accuracy of both."""
    rounds = [(window_ms(network, 1), window_ms(twin, 1)) for _ in range(ROUNDS)]
    ratios = [quick / slow for slow, quick in rounds]
    before, after = (
        evaluate_model(item, material.scored, material.folds, console, material.labels, material.folder)
        for item in (network, twin)
    )
    folds = f"UrbanSound8K fold{'s' * (len(material.folds) > 1)} {', '.join(map(str, material.folds))}"
    ratio = statistics.median(ratios)
    return Int8Comparison(
        model=network.contract.identity,
        twin=twin.contract.identity,
        calibration_windows=windows,
        window_ms=round(statistics.median(slow for slow, _ in rounds), 4),
        window_ms_int8=round(statistics.median(quick for _, quick in rounds), 4),
        ratio=round(ratio, 3),
        ratio_least=round(min(ratios), 3),
        ratio_most=round(max(ratios), 3),
        scored_on=material.folder or folds,
        trained_on_these=bool(before.trained_on_these),
        clips=before.clips,
        accuracy=before.accuracy,
        accuracy_int8=after.accuracy,
        kept=is_worth_shipping(ratio, before.accuracy, after.accuracy),
    )


def load_calibration_data(
    root: Path, layout: str, folds: tuple[int, ...] | None, contract: ModelContract
) -> CalibrationData:
    """Load the recordings for a comparison: UrbanSound8K by folds, or the held-out part of class folders.

    Args:
        root: The recordings.
        layout: "urbansound8k" or "folders".
        folds: Of UrbanSound8K to score; None for those that the model was not trained on, or all that are there.
        contract: The model's.

    Raises:
        ConfigError: Folds are asked for of a folder that has none.
        DataError: The recordings are not as the layout says.
    """
    if layout == "folders":
        split = split_own(root, contract.features, None, folds)
        return CalibrationData(split.train, split.test, (), split.labels, split.folder)
    present = sorted({clip.fold for clip in read_metadata(root) if clip.path.is_file()})
    others = tuple(fold for fold in present if fold not in contract.provenance.folds)
    scored = folds or others or tuple(present)
    learned = tuple(fold for fold in present if fold in contract.provenance.folds)
    learned = tuple(fold for fold in learned if fold not in scored) or learned
    calibration = split_by_folds(root, learned, ()).train if learned else ()
    return CalibrationData(calibration, split_by_folds(root, scored, ()).train, scored)
