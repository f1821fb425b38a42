"""Effect of other resamplers than libsoxr on a network's scores, for benchmarks/parity.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.frontend.mel import mel_db
from soundwatch.daemon.frontend.resample import resample_clip
from soundwatch.export.parity import Scorer
from soundwatch.export.probes import fit_channels
from soundwatch.training.data.audio.place import place_first
from soundwatch.training.model.torchaudio_transforms import Resample

CONSOLE: Final = Console(stderr=True)

RESAMPLED_CLIPS: Final = 200
KAISER_BEST: Final[dict[str, Any]] = {  # librosa's, as torchaudio's documentation gives it
    "resampling_method": "sinc_interp_kaiser",
    "lowpass_filter_width": 64,
    "rolloff": 0.9475937167399596,
    "beta": 14.769656459379492,
}
Resampler = Callable[[Samples, int, FeatureSpec], Samples]


@dataclass(frozen=True, slots=True)
class Shift:
    """Effect of another resampler than libsoxr on a network's scores, by clip."""

    resampler: str
    clips: int
    mean_mel_db: float
    largest_mel_db: float
    median_score: float
    largest_score: float
    clips_beyond_1e_3: int
    clips_called_otherwise: int


DAEMON_RESAMPLERS: Final = {"libsoxr (default)": "libsoxr", "`resampler: torchaudio`": "torchaudio"}


def spread(paths: list[Path], count: int) -> list[Path]:
    """At most `count` of the paths, evenly from first to last."""
    return paths[:: max(1, -(-len(paths) // count))]


def read(path: Path, spec: FeatureSpec, resampler: Resampler = resample_clip) -> Samples:
    """Return the first window (C, S) of a recording."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return place_first(resampler(samples.T, rate_hz, spec), spec.window_samples)


def compare_resamplers(score: Scorer, spec: FeatureSpec, paths: list[Path]) -> list[Shift]:
    """Scores of clips that torchaudio resampled against those that libsoxr did; none at the clips' own rate."""
    return _shifts(
        score,
        spec,
        paths,
        ("libsoxr", resample_clip),
        {
            "torchaudio, default": partial(by_torchaudio, {}),
            "torchaudio, kaiser best": partial(by_torchaudio, KAISER_BEST),
        },
    )


def compare_with_torchaudio(score: Scorer, spec: FeatureSpec, paths: list[Path]) -> list[Shift]:
    """Scores by each resampler of the daemon against those by torchaudio's default; none at the clips' own rate."""
    return _shifts(
        score,
        spec,
        paths,
        ("torchaudio, default", partial(by_torchaudio, {})),
        {name: partial(by_daemon, resampler) for name, resampler in DAEMON_RESAMPLERS.items()},
    )


def _shifts(
    score: Scorer, spec: FeatureSpec, paths: list[Path], reference: tuple[str, Resampler], others: dict[str, Resampler]
) -> list[Shift]:
    if all(soundfile.info(path).samplerate == spec.rate_hz for path in paths):
        return []

    def measure_mel(name: str, resampler: Resampler) -> list[NDArray[np.float32]]:
        return [mel_db(read(path, spec, resampler), spec) for path in track(paths, name, console=CONSOLE)]

    wanted_mel = measure_mel(*reference)
    wanted = np.concatenate([score(mel[None]) for mel in wanted_mel])
    shifts = []
    for name, resampler in others.items():
        mel = measure_mel(name, resampler)
        shifts.append(_shift(name, wanted_mel, mel, wanted, np.concatenate([score(one[None]) for one in mel])))
    return shifts


def _shift(
    name: str,
    wanted_mel: list[NDArray[np.float32]],
    others: list[NDArray[np.float32]],
    wanted: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> Shift:
    mel_differences_db = np.abs(np.array(wanted_mel) - np.array(others))
    moved = np.abs(scores - wanted).max(axis=1)  # (clips,)
    return Shift(
        resampler=name,
        clips=len(wanted_mel),
        mean_mel_db=float(mel_differences_db.mean()),
        largest_mel_db=float(mel_differences_db.max()),
        median_score=float(np.median(moved)),
        largest_score=float(moved.max()),
        clips_beyond_1e_3=int((moved > 1e-3).sum()),
        clips_called_otherwise=int((scores.argmax(axis=1) != wanted.argmax(axis=1)).sum()),
    )


def by_torchaudio(settings: dict[str, Any], samples: Samples, rate_hz: int, spec: FeatureSpec) -> Samples:
    """As `resample_clip`, by torchaudio's `Resample`."""
    narrow = samples if samples.shape[0] == spec.channels else samples.mean(axis=0, keepdims=True)
    resampled = Resample(rate_hz, spec.rate_hz, **settings)(torch.tensor(narrow)).numpy()
    return fit_channels(resampled, spec)


def by_daemon(resampler: str, samples: Samples, rate_hz: int, spec: FeatureSpec) -> Samples:
    """As `resample_clip`, by a resampler that a recipe may name."""
    return resample_clip(samples, rate_hz, msgspec.structs.replace(spec, resampler=resampler))
