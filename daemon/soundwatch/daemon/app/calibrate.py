"""Calibration of thresholds for one place."""

from __future__ import annotations

import msgspec

from soundwatch.daemon.core.config import Config
from soundwatch.daemon.core.config_file import check_against_contract
from soundwatch.daemon.core.source import Source
from soundwatch.daemon.detection.calibration import Calibration, calibrate
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.pipeline.scoring import score_windows
from soundwatch.daemon.system.signals import stop_on_signals


def calibrate_from_source(config: Config, background: Source, target_per_h: float) -> Calibration:
    """Calibrate thresholds for the place of a background recording; a signal ends the recording early.

    Raises:
        SoundwatchError: The model or the background cannot be used.
    """
    classifier = load_classifier(config.model, config.detection.tags)
    check_against_contract(config, classifier.contract)
    uncalibrated = msgspec.structs.replace(config.detection, threshold=None, calibration=None, classes={})
    with stop_on_signals(background.stop):
        scores = list(score_windows(background, classifier))
    return calibrate(scores, build_rules(uncalibrated, classifier.contract), classifier.contract, target_per_h)
