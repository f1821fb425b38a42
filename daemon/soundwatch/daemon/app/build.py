"""Construction of the daemon's parts from its configuration: with `daemon.py` and `outputs.py`, the composition root.

Conventions: everything that can be refused is refused here, before the first block.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import msgspec

from soundwatch.daemon.capture.source_names import name_devices
from soundwatch.daemon.core.config import Config, SourceConfig, check_against_contract, node_name
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.core.source import Source
from soundwatch.daemon.core.types import Clock
from soundwatch.daemon.detection.calibration import Calibration, calibrate
from soundwatch.daemon.detection.rules import build_rules, resolve_rules, thresholds_in_force
from soundwatch.daemon.engine.context import ClipTap, EngineContext
from soundwatch.daemon.events.schema import LineAppender
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.location import open_for_writing, retention_limits
from soundwatch.daemon.pipeline.scoring import score_windows
from soundwatch.daemon.status.snapshot import StatusTracker
from soundwatch.daemon.system.signals import stop_on_signals

if TYPE_CHECKING:
    from soundwatch.daemon.shadow.runner import ShadowRunner

Appender = TypeVar("Appender", bound=LineAppender)


def build_context(config: Config, clock: Clock, open_journal: Callable[[], Appender]) -> tuple[EngineContext, Appender]:
    """Build the engine's dependencies and the journal; the journal is opened last, once nothing else can be refused.

    Raises:
        SoundwatchError: The model, the configuration or the journal cannot be used, each with its own error.
    """
    classifier = load_classifier(config.model, config.detection.tags)
    rules = resolve_rules(config, classifier.contract)
    in_force = thresholds_in_force(rules, classifier.contract.labels)
    if not in_force:
        raise ConfigError("detection.classes enables no class, so nothing can be detected; enable at least one.")
    journal = open_journal()
    context = EngineContext(
        node=node_name(config),
        classifier=classifier,
        rules=rules,
        thresholds=in_force,
        clock=clock,
        journal=journal,
        stats_s=config.stats_s,
    )
    return context, journal


def rebuild_context(
    before: EngineContext, config: Config, shadow: ShadowRunner | None, log: Logger
) -> EngineContext | None:
    """Build the dependencies of another configuration; the model file is read again.

    Args:
        before: The dependencies in force.
        config: The other configuration.
        shadow: The running shadow model.
        log: The log.

    Returns:
        The dependencies, or None if they are those in force.

    Raises:
        SoundwatchError: The model or a rule cannot be used, or needs a restart.
    """
    classifier = load_classifier(config.model, config.detection.tags)
    if (classifier.contract, classifier.provider) == (before.classifier.contract, before.classifier.provider):
        classifier = before.classifier
    old, new = before.classifier.contract, classifier.contract
    if new.identity == old.identity and new.labels != old.labels:
        raise ConfigError("detection.tags cannot be changed while the program runs; restart the program for that.")
    if (new.features, new.labels) != (old.features, old.labels):
        raise ConfigError(
            f"The model {new.identity} has another front end or other classes than {old.identity}, which runs; "
            "restart the program for that."
        )
    rules = resolve_rules(config, new)
    after = replace(
        before,
        classifier=classifier,
        rules=rules,
        thresholds=thresholds_in_force(rules, new.labels),
        stats_s=config.stats_s,
    )
    after = replace(after, shadow=build_shadow(config, after, shadow, log))
    return None if after == before else after


def build_journal(config: Config, log: Logger, tracker: StatusTracker) -> Journal:
    """Open the journal.

    Raises:
        StoreError: The file cannot be used.
    """
    store = open_for_writing(config.journal, log)
    return Journal(store, retention_limits(config.journal), node_name(config), log, tracker.apply)


def build_clip_tap(
    config: Config, context: EngineContext, log: Logger
) -> tuple[ClipTap | None, contextlib.AbstractContextManager[object]]:
    """Build the recorder of clips and the context in which its writer runs; no recorder if clips are off.

    Raises:
        ConfigError: The folder or the speech guard cannot be used.
    """
    if config.clips.folder is None:
        return None, contextlib.nullcontext()
    from soundwatch.daemon.clips.build import build_clips

    return build_clips(config.clips, context, log)


def build_shadow(
    config: Config, context: EngineContext, running: ShadowRunner | None, log: Logger
) -> ShadowRunner | None:
    """Build the shadow model of a context, or return the running one if the result would be equal.

    Raises:
        SoundwatchError: The model cannot be opened, or cannot run beside the context's model.
    """
    if config.shadow.file is None:
        return None
    from soundwatch.daemon.shadow.build import open_shadow

    opened = open_shadow(config, context, log)
    return running if running is not None and running.pair == opened.pair and not running.failed else opened


def release_memory() -> None:
    """Return the memory that opening the model left free to the system, where the C library can."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


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


def select_sources(config: Config, devices: Sequence[str]) -> dict[str, SourceConfig]:
    """Return the named sources, each a key of the configuration or a device; without any, all of the configuration."""
    return name_devices(devices, config.sources) if devices else config.sources
