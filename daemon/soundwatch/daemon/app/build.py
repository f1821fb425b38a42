"""Puts the program together: the only place that names concrete classes.

Conventions: everything that can be refused is refused here, before the first sound is heard.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from soundwatch.daemon.app.lifecycle import Lifecycle, stop_on_signals
from soundwatch.daemon.capture import Recording, recordings_in
from soundwatch.daemon.core.clock import SampleClock
from soundwatch.daemon.core.config import Config, ModelConfig, SourceConfig, check_against_contract
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.core.types import Classifier, Clock, Source
from soundwatch.daemon.detection.calibration import Calibration, calibrate, load_calibration
from soundwatch.daemon.detection.decide import DetectionRule
from soundwatch.daemon.detection.rules import build_rules, thresholds_in_force
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.inference.classifier import Backend, activate, load_classifier_file
from soundwatch.daemon.inference.triton_client import SCHEME, connect_remote
from soundwatch.daemon.journal.journal import LineAppender
from soundwatch.daemon.pipeline.scoring import score_windows
from soundwatch.daemon.sinks.context import parse_sink
from soundwatch.daemon.sinks.direct_writer import DirectWriter
from soundwatch.daemon.sinks.file import open_file


def load_classifier(config: ModelConfig) -> Classifier:
    """The classifier that the configuration names.

    Raises:
        ModelError: The file cannot be used.
        ProviderError: What was asked to run it cannot be had.
        ConfigError: It is to run on a server, and the client for that is not installed.
    """
    remote = config.backend if config.backend.startswith(SCHEME) else None
    backend = cast(Backend, "auto" if remote else config.backend)  # the configuration's pattern lets no other pass
    local = load_classifier_file(config.file, config.provider, backend, config.require_cuda, config.threads)
    return connect_remote(remote, local, partial(activate, activation=local.contract.activation)) if remote else local


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


def resolve_rules(config: Config, contract: ModelContract) -> tuple[DetectionRule, ...]:
    """What decides, by the model, the calibration and the configuration.

    Raises:
        ConfigError: They contradict each other.
    """
    check_against_contract(config, contract)
    path = config.detection.calibration
    return build_rules(config.detection, contract, load_calibration(Path(path), contract) if path else None)


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
    """The sources to listen to: those named, each in the configuration or a device itself; else all."""
    if not devices:
        return config.sources
    return {
        device if device in config.sources else source_name(device): config.sources.get(
            device, SourceConfig(device=device)
        )
        for device in devices
    }


def source_name(device: str) -> str:
    """What a device that the configuration does not name is called in events."""
    if "://" in device:  # a URL may hold a password
        return urlsplit(device).hostname or "network"
    return {"-": "stdin"}.get(device, Path(device).stem if Path(device).exists() else device)


def replay(config: Config, paths: Sequence[Path], start_unix_ns: int, log: Any) -> None:
    """Run recordings, and folders of them, through the same engine, one after another, as fast as it goes.

    Raises:
        SoundwatchError: A recording or the model cannot be used, or a line could not be written.
    """
    recordings = [each for path in paths for each in (path.is_dir() and recordings_in(path)) or [path]]
    files = [parse_sink(text) for text in config.sinks]
    for spec in files:
        if spec.kind != "json":
            raise ConfigError(f"-F {spec.text}: recordings are only written to json and json:PATH.")
    ears = build_context(
        config, SampleClock(), lambda: DirectWriter([open_file(spec.target) for spec in files], log.warning)
    )
    relay = ears.journal
    assert isinstance(relay, DirectWriter)
    failures: list[SourceError] = []
    program = Lifecycle()
    with contextlib.closing(relay), stop_on_signals(program.stop):
        for path in recordings:
            try:
                program.add(Recording(path.stem, path, "fast", start_unix_ns)).read_through(ears)
            except SourceError as error:
                log.error("a recording was not heard to its end", file=str(path), error=str(error))
                failures.append(error)
            relay.report_losses()
            if program.stop_asked:
                break
    if failures:
        raise failures[0]
