"""YAMNet as a teacher: features of its tenth layer and scores of a sound, for distillation.

Conventions: samples (1, S) float32 in; out, features (W, D) float16, one row a window of 0.975 s every 0.48 s: the
mean, then the maximum, of each of layer 10's channels over bands and frames; and scores (A,) float16 of its
AudioSet classes, the maximum over the windows. A sound is scaled to a fixed peak first, because YAMNet's features
depend on loudness and the student's do not.
Source: YAMNet's published TensorFlow Lite build (Google, Apache-2.0), which takes a waveform at 16 kHz.
Does not: run outside training; the file is not part of this package.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import ConfigError, ModelError
from soundwatch.daemon.core.process.extras import install_command
from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.distillation.teacher_layers import Trunk, read_trunk
from soundwatch.training.model.recipe import Recipe

TeacherFeatures = NDArray[np.float16]

RATE_HZ: Final = 16000
WINDOW_SAMPLES: Final = 15600
HOP_SAMPLES: Final = 7680
WIDTH: Final = 1024
AUDIOSET_CLASSES: Final = 521
_LAYER: Final = "yamnet_frames/layer10/pointwise_conv/relu/Relu"
_PEAK: Final = 0.7
_INAUDIBLE: Final = 1e-5
_WANTED: Final = "YAMNet's .tflite build that takes 15600 samples was expected"


@dataclass(frozen=True, slots=True)
class TeacherOutputs:
    """Teacher features and scores of one sound.

    Attributes:
        features: Features (W, D); W is 0 for less than one window.
        scores: Scores (A,), the maximum over the windows; zeros for less than one window.
    """

    features: TeacherFeatures
    scores: NDArray[np.float16]


class Teacher(Protocol):
    """Teacher network of distillation.

    Attributes:
        sha256: Hash of its file.
    """

    sha256: str

    def outputs(self, samples: Samples, rate_hz: int) -> TeacherOutputs:
        """Compute features and scores of (1, S) samples."""
        ...

    def trunk(self) -> Trunk:
        """Return its first layers, for the initialization of a student."""
        ...


class YamNet:
    """YAMNet teacher.

    Attributes:
        sha256: Hash of its file.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            ConfigError: `ai-edge-litert` is not installed.
            ModelError: The file does not exist, or is not YAMNet's waveform build.
        """
        self.sha256 = _hash(path)
        self._path = path
        self._interpreter, self._input, self._layer = _open(path)
        self._scores = int(self._interpreter.get_output_details()[0]["index"])

    def outputs(self, samples: Samples, rate_hz: int) -> TeacherOutputs:
        """Compute features of layer 10 and scores of (1, S) samples."""
        resampled = soxr.resample(_to_peak(samples[0]), rate_hz, RATE_HZ)
        rows = [self._run(resampled[start : start + WINDOW_SAMPLES]) for start in starts(len(resampled))]
        if not rows:
            return TeacherOutputs(np.zeros((0, WIDTH), np.float16), np.zeros(AUDIOSET_CLASSES, np.float16))
        features, scores = zip(*rows, strict=True)
        return TeacherOutputs(np.stack(features), np.max(scores, axis=0))

    def trunk(self) -> Trunk:
        """Return its convolutions.

        Raises:
            ModelError: The file has other layers.
        """
        return read_trunk(self._path)

    def _run(self, window: NDArray[np.float32]) -> tuple[TeacherFeatures, NDArray[np.float16]]:
        """Compute features (D,) and scores (A,) of one window."""
        self._interpreter.set_tensor(self._input, window.astype(np.float32, copy=False))
        self._interpreter.invoke()
        maps = self._interpreter.get_tensor(self._layer)[0]  # (T, M, channels)
        features = np.concatenate([maps.mean(axis=(0, 1)), maps.max(axis=(0, 1))]).astype(np.float16)
        return features, self._interpreter.get_tensor(self._scores).reshape(-1).astype(np.float16)


def starts(length_samples: int) -> range:
    """Return the first samples of the complete windows in a sound, at the teacher's rate."""
    return range(0, length_samples - WINDOW_SAMPLES + 1, HOP_SAMPLES)


def _to_peak(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale the sound to a peak of 0.7; near silence stays unchanged."""
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * np.float32(_PEAK / peak) if peak > _INAUDIBLE else samples


def _hash(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise ModelError(f"The teacher {path} is no regular file. YAMNet's .tflite file was expected.")
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"The teacher {path} cannot be read: {error}. YAMNet's .tflite file was expected.") from error


def open_interpreter(path: Path, **options: Any) -> Any:
    """Open YAMNet's file in TensorFlow Lite with one thread, ready to run.

    Args:
        path: The file.
        options: Further options of the interpreter.

    Raises:
        ConfigError: `ai-edge-litert` is not installed.
        ModelError: The file is not a TensorFlow Lite model.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ConfigError(
            "YAMNet needs the Python package ai-edge-litert, which is not installed. Install it with "
            f"{install_command('training', 'teacher')}."
        ) from error
    try:
        interpreter = Interpreter(str(path), num_threads=1, **options)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{path} does not open as a TensorFlow Lite model: {error}; {_WANTED}.") from error
    return interpreter


def _open(path: Path) -> tuple[Any, int, int]:
    """Open the interpreter, and return it with the indexes of its input and of layer 10."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns about readable inner layers, which are needed here
        interpreter = open_interpreter(path, experimental_preserve_all_tensors=True)
    layers = [detail["index"] for detail in interpreter.get_tensor_details() if detail["name"].startswith(_LAYER)]
    first = interpreter.get_input_details()[0]
    if not layers or list(first["shape"]) != [WINDOW_SAMPLES]:
        raise ModelError(f"{path} takes {list(first['shape'])} and has no layer {_LAYER}; {_WANTED}.")
    return interpreter, int(first["index"]), int(layers[0])


def open_teacher(recipe: Recipe, path: Path | None) -> Teacher | None:
    """Open the teacher of a recipe with distillation.

    Raises:
        ConfigError: The teacher is missing or not needed, or its library is not installed.
        ModelError: The file cannot be opened.
    """
    if recipe.teaching and not path:
        raise ConfigError(f"Recipe {recipe.name} learns from a teacher; give YAMNet's .tflite file with --teacher.")
    if path and not recipe.teaching:
        raise ConfigError(f"--teacher, and recipe {recipe.name} learns from labels alone; leave it out.")
    return YamNet(path) if path else None
