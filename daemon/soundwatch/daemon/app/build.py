"""Puts the program together: the only place that names concrete classes.

Conventions: everything that can be refused is refused here, before the first sound is heard.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import msgspec

from soundwatch.daemon.capture.source_names import name_devices
from soundwatch.daemon.core.config import Config, SourceConfig, check_against_contract
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.source import Source
from soundwatch.daemon.core.types import Clock
from soundwatch.daemon.detection.calibration import Calibration, calibrate
from soundwatch.daemon.detection.rules import build_rules, resolve_rules, thresholds_in_force
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.events.schema import LineAppender
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.pipeline.scoring import score_windows
from soundwatch.daemon.system.signals import stop_on_signals


def build_context(config: Config, clock: Clock, journal_of: Callable[[], LineAppender]) -> EngineContext:
    """All but the sources; the journal is opened last, once nothing else can be refused.

    Raises:
        SoundwatchError: The model, the configuration or the journal cannot be used, each with its own error.
    """
    classifier = load_classifier(config.model)
    rules = resolve_rules(config, classifier.contract)
    in_force = thresholds_in_force(rules, classifier.contract.labels)
    if not in_force:
        raise ConfigError("detection.classes enables no class, so nothing could ever be heard; enable at least one.")
    return EngineContext(
        node=node_name(config),
        classifier=classifier,
        rules=rules,
        thresholds=in_force,
        clock=clock,
        journal=journal_of(),
        stats_s=config.stats_s,
    )


def node_name(config: Config) -> str:
    """Name of this machine in events."""
    return config.node or socket.gethostname()


def calibrate_from_source(config: Config, background: Source, target_per_h: float) -> Calibration:
    """Thresholds for the place where this background was heard; a signal ends listening early.

    Raises:
        SoundwatchError: The model or the background cannot be used.
    """
    classifier = load_classifier(config.model)
    check_against_contract(config, classifier.contract)
    uncalibrated = msgspec.structs.replace(config.detection, threshold=None, calibration=None, classes={})
    with stop_on_signals(background.stop):
        scores = list(score_windows(background, classifier))
    return calibrate(scores, build_rules(uncalibrated, classifier.contract), classifier.contract, target_per_h)


def select_sources(config: Config, devices: Sequence[str]) -> dict[str, SourceConfig]:
    """Return the named sources, each a key of the configuration or a device; without any, all of the configuration."""
    return name_devices(devices, config.sources) if devices else config.sources
