"""Verification of waveform files: their scores of probes against those of the daemon's stages.

Conventions: probes are recordings (C, S) at the file's rate, of several lengths; differences are the largest of all
windows. A file takes samples, so there is no difference of mel.
Does not: write files (`export.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import soxr
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.records.block import Block, Samples
from soundwatch.daemon.inference.classifier import Backend
from soundwatch.daemon.pipeline.pipeline import batched_features, features_only
from soundwatch.export.parity import RUNTIMES, ParityDifference, score_limit_of
from soundwatch.export.probes import SEED, probes
from soundwatch.export.report import Verification

LENGTHS_WINDOWS: Final = (0.1, 2.6)  # of each probe: one padded window, and several

WaveformScorer = Callable[[Samples], NDArray[np.float32]]


def waveform_probes(contract: ModelContract, rate_hz: int, clip: Path | None) -> dict[str, Samples]:
    """Return probes of several lengths at the file's rate, and noise over all of that rate's band."""
    spec = contract.features
    wide = 0.1 * np.random.default_rng(SEED).standard_normal(
        (spec.channels, spec.window_samples * rate_hz // spec.rate_hz)
    )
    sounds = {**_at_rate(probes(spec, clip), spec.rate_hz, rate_hz), "wide noise": wide.astype(np.float32)}
    lengths: dict[str, Samples] = {}
    for name, samples in sounds.items():
        for windows in LENGTHS_WINDOWS:
            wanted = round(windows * samples.shape[1])
            lengths[f"{name}, {wanted / rate_hz:g} s"] = np.ascontiguousarray(np.tile(samples, 3)[:, :wanted])
    return lengths


def _at_rate(sounds: dict[str, Samples], from_hz: int, to_hz: int) -> dict[str, Samples]:
    if from_hz == to_hz:
        return sounds
    return {
        name: np.ascontiguousarray(soxr.resample(samples.T, from_hz, to_hz).T, np.float32)
        for name, samples in sounds.items()
    }


def daemon_scores(classifier: Classifier, samples: Samples, rate_hz: int) -> NDArray[np.float32]:
    """Compute the scores (windows, K) of a recording (C', S) by the stages of the daemon."""
    blocks = (Block(samples, rate_hz, 0), None)
    batches = (items for _, items in batched_features(blocks, classifier.contract.features, 1))
    scores = [classifier.classify(window.mel_db[None]) for items in batches for window in features_only(items)]
    return np.concatenate(scores)[:, : len(classifier.contract.labels)]


def verify_waveform_files(
    daemon: Classifier, files: Mapping[Backend, Path], sounds: Mapping[str, Samples], rate_hz: int, console: Console
) -> Verification:
    """Compare the scores of each file with those of the daemon's stages."""
    contract = daemon.contract
    limit = score_limit_of(contract)
    scorers = {f"waveform, {RUNTIMES[backend]}": open_waveform_file(file, backend) for backend, file in files.items()}
    found: dict[str, list[ParityDifference]] = {variant: [] for variant in scorers}
    for probe, samples in track(sounds.items(), "Verifying", console=console, transient=True):
        wanted = daemon_scores(daemon, samples, rate_hz)
        for variant, score in scorers.items():
            scores = score(samples)
            same_shape = scores.shape == wanted.shape
            difference = float(np.abs(scores - wanted).max()) if same_shape else float("inf")
            found[variant].append(ParityDifference(probe, variant, None, difference, limit))
    return Verification(contract.identity, "the daemon", tuple(chain.from_iterable(found.values())), ())


def open_waveform_file(file: Path, backend: Backend) -> WaveformScorer:
    """Open a waveform file: samples (C', S) to scores (windows, K)."""
    if backend == "onnx":
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        return partial(_run_session, session)
    with warnings.catch_warnings():
        # torch deprecates all of torch.jit in favour of torch.export; TorchScript is what this format is.
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", DeprecationWarning)
        return partial(_run_script, torch.jit.load(str(file)))  # type: ignore[no-untyped-call]


def _run_session(session: Any, samples: Samples) -> NDArray[np.float32]:
    return np.asarray(session.run(None, {"samples": samples})[0], np.float32)


def _run_script(script: Any, samples: Samples) -> NDArray[np.float32]:
    with torch.inference_mode():
        return np.asarray(script(torch.tensor(samples)).numpy(), np.float32)
