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

from soundwatch.daemon.calibrate import Calibration, calibrate, load_calibration
from soundwatch.daemon.capture import Recording, recordings_in
from soundwatch.daemon.classify import Backend, activate, open_classifier
from soundwatch.daemon.clocks import SampleClock
from soundwatch.daemon.config import Config, ModelConfig, SourceConfig, check_against
from soundwatch.daemon.contract import ModelContract
from soundwatch.daemon.decide import Rule
from soundwatch.daemon.errors import ConfigError, SourceError
from soundwatch.daemon.journal import Appender
from soundwatch.daemon.listen import Ears
from soundwatch.daemon.program import Program, signals_to
from soundwatch.daemon.recordings import score_windows
from soundwatch.daemon.relay import Relay
from soundwatch.daemon.rules import rules_for, thresholds
from soundwatch.daemon.sinks import parse_sink
from soundwatch.daemon.sinks.files import open_file
from soundwatch.daemon.triton import SCHEME, open_remote
from soundwatch.daemon.types import Classifier, Clock, Source


def load_model(config: ModelConfig) -> Classifier:
    """The classifier that the configuration names.

    Raises:
        ModelError: The file cannot be used.
        ProviderError: What was asked to run it cannot be had.
        ConfigError: It is to run on a server, and the client for that is not installed.
    """
    remote = config.backend if config.backend.startswith(SCHEME) else None
    backend = cast(Backend, "auto" if remote else config.backend)  # the configuration's pattern lets no other pass
    local = open_classifier(config.file, config.provider, backend, config.require_cuda, config.threads)
    return open_remote(remote, local, partial(activate, activation=local.contract.activation)) if remote else local


def build(config: Config, clock: Clock, journal_of: Callable[[], Appender]) -> Ears:
    """All but the sources; the journal is opened last, once nothing else can be refused.

    Raises:
        SoundwatchError: The model, the configuration or the journal cannot be used, each with its own error.
    """
    classifier = load_model(config.model)
    rules = rules_in_force(config, classifier.contract)
    in_force = thresholds(rules, classifier.contract.labels)
    if not in_force:
        raise ConfigError("detection.classes enables no class, so nothing could ever be heard; enable at least one.")
    return Ears(
        node=node_of(config),
        classifier=classifier,
        rules=rules,
        thresholds=in_force,
        clock=clock,
        journal=journal_of(),
        stats_s=config.stats_s,
    )


def node_of(config: Config) -> str:
    """Name of this machine in events."""
    return config.node or socket.gethostname()


def rules_in_force(config: Config, contract: ModelContract) -> tuple[Rule, ...]:
    """What decides, by the model, the calibration and the configuration.

    Raises:
        ConfigError: They contradict each other.
    """
    check_against(config, contract)
    path = config.detection.calibration
    return rules_for(config.detection, contract, load_calibration(Path(path), contract) if path else None)


def calibrate_on(config: Config, background: Source, target_per_h: float) -> Calibration:
    """Thresholds for the place where this background was heard; a signal ends listening early.

    Raises:
        SoundwatchError: The model or the background cannot be used.
    """
    classifier = load_model(config.model)
    check_against(config, classifier.contract)
    uncalibrated = msgspec.structs.replace(config.detection, threshold=None, calibration=None, classes={})
    with signals_to(background.stop):
        scores = list(score_windows(background, classifier))
    return calibrate(scores, rules_for(uncalibrated, classifier.contract), classifier.contract, target_per_h)


def choose_sources(config: Config, devices: Sequence[str]) -> dict[str, SourceConfig]:
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
    ears = build(config, SampleClock(), lambda: Relay([open_file(spec.target) for spec in files], log.warning))
    relay = ears.journal
    assert isinstance(relay, Relay)
    failures: list[SourceError] = []
    program = Program()
    with contextlib.closing(relay), signals_to(program.stop):
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
