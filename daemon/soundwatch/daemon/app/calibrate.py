"""Calibration of thresholds for one place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.capture.recordings.containers.search import search_bars
from soundwatch.daemon.capture.recordings.findings import findings_for_events
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.file import check_against_contract
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.process.stop_request import StoppedError
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.source import Source
from soundwatch.daemon.detection.calibration import (
    MIN_BACKGROUND_S,
    Calibration,
    background_s,
    calibrate,
    is_short,
)
from soundwatch.daemon.detection.rules import COMMON, resolve_sources
from soundwatch.daemon.frontend.condition import Conditioning
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.pipeline.scoring import score_windows
from soundwatch.daemon.system.signals import stop_on_signals


def calibrate_from_source(
    config: Config, background: Source, target_per_h: float, source: str | None, warn: Callable[[str], None]
) -> Calibration:
    """Calibrate thresholds for the place of a background recording; a signal ends the recording early.

    Args:
        config: The configuration.
        background: The background.
        target_per_h: Limit of false events per hour, all classes together.
        source: Source whose gain, high-pass and durations apply; None for the common ones.
        warn: Called with each sentence about a faulty recording, before it is refused or used,
            and with one about a stop by a signal.

    Raises:
        SoundwatchError: The model or the background cannot be used.
        StoppedError: A signal stopped the background before it was long enough.
    """
    classifier = load_classifier(config)
    check_against_contract(config, classifier.contract)
    own = resolve_sources(_uncalibrated(config), classifier.contract)[source or COMMON]
    conditioning = Conditioning(own.settings.gain_db.value, own.settings.high_pass_hz.value)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        background.stop()

    scores: list[Scores] = []
    with contextlib.suppress(StoppedError), stop_on_signals(stop), search_bars():
        scores.extend(score_windows(background, classifier, conditioning))
    if stopped:
        _report_stop(background_s(scores, classifier.contract), classifier.contract, warn)
    if isinstance(background, Recording):
        for advice in findings_for_events(background.findings(), classifier.contract.features.channels).values():
            warn(advice)
    return calibrate(scores, own.rules, classifier.contract, target_per_h)


def _report_stop(length_s: float, contract: ModelContract, warn: Callable[[str], None]) -> None:
    """Report that a signal stopped the background.

    Raises:
        StoppedError: The background is too short for a calibration.
    """
    if is_short(length_s, contract):
        warn(f"stopped after {length_s:.0f} s, before {MIN_BACKGROUND_S} s of background; no calibration is written.")
        raise StoppedError("A signal stopped the background.")
    warn(f"stopped after {length_s:.0f} s; the calibration is of these.")


def _uncalibrated(config: Config) -> Config:
    """Return a configuration without thresholds."""
    change = msgspec.structs.replace
    none: dict[str, Any] = {"threshold": None, "calibration": None, "classes": {}}
    sources = {name: change(own, detection=change(own.detection, **none)) for name, own in config.sources.items()}
    return change(config, detection=change(config.detection, **none), sources=sources)
