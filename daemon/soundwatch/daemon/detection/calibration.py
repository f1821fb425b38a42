"""Calibration of thresholds for one place, from a recording of its background.

The background of a place, such as a fan, differs from the training clips. Given sound in which none of the
classes occurs, each class's threshold is raised until the daemon's own detector (`detection/decide.py`, with all its
rules) reports no more false events than the target rate.

Conventions: the target rate is for all classes together, and each class gets an equal share. A
threshold is only raised above the model's: background without events cannot justify a lower one.
Uncertainty: n events in T hours bound the true rate from above with 95 % confidence (Poisson, Garwood
1936): none in one hour still allows 3.0 per hour. `rate_upper_per_h` is this bound.
Does not: record (`app/calibrate.py`).
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.files.paths import is_file, is_there
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.text.foreign_json import JSON_ERRORS
from soundwatch.daemon.detection.decide import DetectionRule, decide, initial_state

CONFIDENCE: Final = 0.95
STEP: Final = 0.01
HIGHEST: Final = 0.99
MIN_BACKGROUND_S: Final = 600
LONGEST_BYTES: Final = 1 << 20
DEFAULT_DEVICE: Final = "default"  # of `soundwatch calibrate`
NOT_CALIBRATED: Final = "{source} is not calibrated: its thresholds are the model's."  # a text of the page too


def calibrate_command(source: str, device: str | int, config_path: Path | None, *, configured: bool) -> str:
    """Return the command that calibrates a microphone.

    Args:
        source: Name of the source.
        device: Its device.
        config_path: The configuration file; None for none.
        configured: The source is one of the configuration, not a device of the command line.
    """
    words = ["soundwatch", "calibrate", "--background", "3600"]
    if config_path is not None and configured:
        words += ["--source", source]
    elif str(device) != DEFAULT_DEVICE:
        words += ["--device", str(device)]
    if config_path is not None:
        words += ["--config", str(config_path)]
    return shlex.join(words)


class ClassCalibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calibration of one class.

    Attributes:
        threshold: Threshold for this place; null if even the highest gives too many false events.
        false_events: Number of false events in the background at that threshold.
        rate_upper_per_h: Upper bound of the true rate, with 95 % confidence.
        highest_score: Highest score in the background.
    """

    threshold: float | None
    false_events: int
    rate_upper_per_h: float
    highest_score: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds for one place: the file that `detection.calibration` names.

    Attributes:
        schema: Version of this record.
        model: Identity of the model; the file is valid for this model only.
        background_h: Length of the background in hours.
        target_per_h: Target rate of false events per hour, all classes together.
        classes: Calibration of each label.
    """

    schema: str = "soundwatch.calibration/1"
    model: str
    background_h: float
    target_per_h: float
    classes: dict[str, ClassCalibration]


def calibrate(
    scores: list[Scores], rules: tuple[DetectionRule, ...], contract: ModelContract, target_per_h: float
) -> Calibration:
    """Find the thresholds at which this background gives no more false events than the target rate.

    Args:
        scores: Scores of the background's windows, in order.
        rules: Rules at the model's thresholds, one per label.
        contract: Contract of the model.
        target_per_h: Target rate of false events per hour, all classes together.

    Raises:
        ConfigError: The background is shorter than `MIN_BACKGROUND_S`.
    """
    length_s = background_s(scores, contract)
    if is_short(length_s, contract):
        raise short_background(length_s)
    hours = length_s / 3600
    allowed = math.floor(target_per_h * hours / len(contract.labels))
    classes = {
        label: _calibrate_class(class_id, scores, rules[class_id], contract, allowed, hours)
        for class_id, label in enumerate(contract.labels)
    }
    return Calibration(
        model=contract.identity, background_h=round(hours, 4), target_per_h=target_per_h, classes=classes
    )


def background_s(scores: list[Scores], contract: ModelContract) -> float:
    """Return the length of a background in seconds, from the scores of its windows."""
    return scores[-1].end_sample / contract.features.rate_hz if any(window.complete for window in scores) else 0.0


def is_short(length_s: float, contract: ModelContract) -> bool:
    """Return True if a background is too short; its last hop may hold no window."""
    return length_s + contract.features.window_hop_samples / contract.features.rate_hz < MIN_BACKGROUND_S


def short_background(length_s: float) -> ConfigError:
    """Return the error for a background that is too short."""
    return ConfigError(
        f"The background has {math.floor(length_s)} s; at least {MIN_BACKGROUND_S} s were expected. A shorter one "
        f"cannot show a rate of false events: give {MIN_BACKGROUND_S} s or more with --background, better an hour."
    )


def _calibrate_class(
    class_id: int, scores: list[Scores], rule: DetectionRule, contract: ModelContract, allowed: int, hours: float
) -> ClassCalibration:
    label = contract.labels[class_id]
    alone = [replace(w, values=w.values[class_id : class_id + 1], labels=(label,), tags=()) for w in scores]
    highest = max(float(window.values[0]) for window in alone)
    thresholds = (rule.threshold, *np.arange(math.ceil(rule.threshold / STEP + 0.5) * STEP, HIGHEST + STEP / 2, STEP))
    for candidate in thresholds:
        threshold = round(float(candidate), 4)
        events = _count(
            alone, replace(rule, threshold=threshold, release=rule.release * threshold / rule.threshold), contract
        )
        if events <= allowed:
            break
    return ClassCalibration(
        threshold=threshold if events <= allowed else None,
        false_events=events,
        rate_upper_per_h=round(poisson_upper_rate(events, hours), 3),
        highest_score=round(highest, 4),
    )


def _count(scores: Iterable[Scores], rule: DetectionRule, contract: ModelContract) -> int:
    """Count the events that the daemon would start."""
    state, started = initial_state((rule,)), 0
    for window in scores:
        state, events = decide(state, window, None, (rule,), contract.features)
        started += sum(event.type == "start" for event in events)
    return started


def poisson_upper_rate(events: int, hours: float) -> float:
    """Return the rate per hour above which so few events have a probability of at most 5 %."""
    low, high = 0.0, events + 10.0 * math.sqrt(events + 1) + 10.0
    while high - low > 1e-6:
        mean = (low + high) / 2
        probability = sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(events + 1))
        low, high = (mean, high) if probability > 1 - CONFIDENCE else (low, mean)
    return high / hours


def load_calibration(path: Path, contract: ModelContract) -> Calibration:
    """Read a calibration file and check that it belongs to a model.

    Raises:
        ConfigError: The file cannot be read, or was made with another model.
    """
    try:
        if is_there(path) and not is_file(path):  # a pipe or a device has no end
            raise ConfigError(f"detection.calibration: {path} is not a regular file. Give the path of a calibration.")
        with path.open("rb") as file:
            content = file.read(LONGEST_BYTES + 1)
        if len(content) > LONGEST_BYTES:
            raise ConfigError(
                f"detection.calibration: {path} is longer than {LONGEST_BYTES} bytes. Give the path of a calibration."
            )
        calibration = msgspec.json.decode(content, type=Calibration)
    except OSError as error:
        raise ConfigError(f"detection.calibration: {path} cannot be read: {error.strerror}.") from error
    except JSON_ERRORS as error:
        raise ConfigError(
            f"detection.calibration: {path} is not a calibration: {error}. Create one with `soundwatch calibrate`."
        ) from error
    trained, known = set(contract.trained_labels), {*contract.labels, *contract.tags}
    if calibration.model != contract.identity or not trained <= set(calibration.classes) <= known:
        raise ConfigError(
            f"detection.calibration: {path} was made with {calibration.model}, and the model is {contract.identity}; "
            "scores of two models cannot be compared. Run `soundwatch calibrate` again."
        )
    return calibration
