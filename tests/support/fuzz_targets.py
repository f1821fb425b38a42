"""What reads outside input, each as a function of bytes that either takes them or refuses them with an error of ours.

Conventions: a reader gets a folder of its own to write its input to. What it raises beside `SoundwatchError` is a bug.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from soundwatch.daemon.capture.raw_pcm import PcmFormat, RawPcm
from soundwatch.daemon.capture.recording import Recording
from soundwatch.daemon.core.config import load_config
from soundwatch.daemon.core.contract import decode_contract, encode_contract
from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.types import Window, read_only
from soundwatch.daemon.detection.calibration import Calibration, ClassCalibration, load_calibration
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.frontend.mel import MelState, mel
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.training.data.urbansound8k import read_metadata
from soundwatch.training.model.checkpoint import load_network
from soundwatch.training.model.recipe import parse_recipe, shipped_recipes
from support.band_model import write_band_model
from support.checkpoint_factory import write_checkpoint
from support.fakes import SMALL_CONTRACT, tone

Reader = Callable[[bytes, Path], object]


def configuration(data: bytes, folder: Path) -> None:
    """A configuration, up to the rules that it makes."""
    build_rules(load_config(_file(folder / "config.yaml", data)).detection, SMALL_CONTRACT)


def contract(data: bytes, _: Path) -> None:
    """A contract, up to the features of a window by it."""
    spec = decode_contract(data, "a model").features
    samples = np.zeros((spec.channels, spec.window_samples), np.float32)
    mel(MelState(), Window(read_only(samples), 0, spec.window_samples, True), spec)


def recording(data: bytes, folder: Path) -> None:
    """A recording, up to its last sample."""
    list(Recording("fuzz", _file(folder / "sound.wav", data), "fast").blocks())


def pcm(data: bytes, _: Path) -> None:
    """Raw samples after a line with their format."""
    head, _separator, body = data.partition(b"\n")
    list(RawPcm("fuzz", io.BytesIO(body), PcmFormat.parse(head.decode(errors="replace"))).blocks())  # type: ignore[arg-type]


def metadata(data: bytes, folder: Path) -> None:
    """UrbanSound8K's list of clips, whose files lie in its folder."""
    (folder / "metadata").mkdir(exist_ok=True)
    _file(folder / "metadata" / "UrbanSound8K.csv", data)
    for clip in read_metadata(folder):
        assert clip.path.parent.parent == folder / "audio"
        clip.path.exists()


def recipe(data: bytes, _: Path) -> None:
    """A training recipe."""
    parse_recipe(data.decode("utf-8", "replace"), "a recipe")


def calibration(data: bytes, folder: Path) -> None:
    """A place's thresholds."""
    load_calibration(_file(folder / "calibration.json", data), SMALL_CONTRACT)


def model(data: bytes, folder: Path) -> None:
    """An ONNX model, up to a window of silence through it."""
    load_classifier_file(_file(folder / "model.onnx", data), "cpu")


def checkpoint(data: bytes, folder: Path) -> None:
    """A checkpoint, up to its network."""
    load_network(_file(folder / "network.pt", data))


READERS: Final[dict[str, Reader]] = {
    reader.__name__: reader
    for reader in (configuration, contract, recording, pcm, metadata, recipe, calibration, model, checkpoint)
}


def read(name: str, data: bytes, folder: Path) -> None:
    """Let a reader take or refuse some bytes."""
    with contextlib.suppress(SoundwatchError):
        READERS[name](data, folder)


def seed(name: str, folder: Path) -> bytes:
    """What a reader takes."""
    if name == "recording":
        import soundfile

        soundfile.write(folder / "seed.wav", tone(300, 0.05).T, 8000, subtype="PCM_16")
        return (folder / "seed.wav").read_bytes()
    if name == "model":
        return write_band_model(folder / "seed.onnx").read_bytes()
    if name == "checkpoint":
        return write_checkpoint(folder / "seed.pt").read_bytes()
    return _TEXTS[name].encode() if name in _TEXTS else shipped_recipes()["tutorial"].encode()


_TEXTS: Final = {
    "configuration": "node: a\nsources: {mic0: {device: default, channels: 1}}\n"
    "detection: {threshold: 0.5, cooldown_s: 3, classes: {low: {enabled: true, max_duration_s: 9.5}}}\nsinks: [json]\n",
    "contract": encode_contract(SMALL_CONTRACT),
    "pcm": "s24le,8000,2\n" + "sample" * 50,
    "metadata": "slice_file_name,fsID,start,end,salience,fold,classID,class\n1-3-0-0.wav,1,0.0,0.3,1,5,3,dog_bark\n",
    "calibration": msgspec.json.encode(
        Calibration(
            model=SMALL_CONTRACT.identity,
            background_h=1.0,
            target_per_h=0.1,
            classes={
                label: ClassCalibration(threshold=0.5, false_events=0, rate_upper_per_h=3.0, highest_score=0.4)
                for label in SMALL_CONTRACT.labels
            },
        )
    ).decode(),
}


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
