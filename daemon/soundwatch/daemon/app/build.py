"""Construction of every part from the configuration: models, rules, sources, journal, clips and shadow.

Conventions: everything that can be refused is refused here, before the first block.
Does not: run what it builds (`daemon.py`, `outputs.py`, `replay.py`, `scan.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from soundwatch.daemon.app.check import check_outputs
from soundwatch.daemon.app.recording_report import report_recording
from soundwatch.daemon.app.reload import RunConfig, needs_speech_guard
from soundwatch.daemon.app.source_rules import checked_sources
from soundwatch.daemon.app.watchdog import Watchdog
from soundwatch.daemon.capture import open_live_source
from soundwatch.daemon.config.config import Config, node_name
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.records.source import LiveSource
from soundwatch.daemon.core.time.clock import Clock, SampleClock
from soundwatch.daemon.detection.rules import COMMON, SourceRules
from soundwatch.daemon.engine.context import ClipTap, EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.events.notices import scores_line
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.journal.entry import LineAppender
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.location import open_for_writing, retention_limits
from soundwatch.daemon.level.tap import LevelMeter
from soundwatch.daemon.level.watch import LevelWatch, watch_rules, watch_thresholds
from soundwatch.daemon.sinks.daemon_view import ActiveModel
from soundwatch.daemon.sinks.direct import DirectWriter
from soundwatch.daemon.sinks.file import JsonOptions, open_file
from soundwatch.daemon.sinks.kinds import parse_sink
from soundwatch.daemon.sinks.place import Place, file_place
from soundwatch.daemon.sinks.spec import parse_options
from soundwatch.daemon.status.snapshot import StatusTracker
from soundwatch.daemon.system.sd_notify import SystemdNotifier

if TYPE_CHECKING:
    from soundwatch.daemon.shadow.runner import ShadowRunner

Appender = TypeVar("Appender", bound=LineAppender)


@dataclass(frozen=True, slots=True)
class InForce:
    """Parts that a reload replaces, as one record.

    Attributes:
        run_config: Configuration and sources.
        context: Dependencies of the engine.
        shadow: The second model; None for none.
        base: Rules by source, without the changes of schedules; `COMMON` is one of them.
    """

    run_config: RunConfig
    context: EngineContext
    shadow: ShadowRunner | None = None
    base: Mapping[str, SourceRules] = field(default_factory=dict)

    @property
    def model(self) -> ActiveModel:
        """The model in use, with the lowest threshold of each class that a source detects."""
        classifier, names = self.context.classifier, self.run_config.sources
        by_source = [self.context.thresholds_for(name) for name in names] or [self.context.thresholds]
        thresholds = {
            label: min(own[label] for own in by_source if label in own)
            for label in classifier.contract.labels
            if any(label in own for own in by_source)
        }
        return ActiveModel(classifier.contract, classifier.provider, thresholds | self.context.level_thresholds)


def build_context(
    config: Config, clock: Clock, open_journal: Callable[[], Appender], running: Collection[str] = ()
) -> tuple[EngineContext, Appender]:
    """Build the engine's dependencies and the journal; the journal is opened last, once nothing else can be refused.

    Args:
        config: The configuration.
        clock: Clock of the program.
        open_journal: Opens the journal.
        running: Names of the sources of this run, which need not be configured.

    Raises:
        SoundwatchError: The model, the configuration or the journal cannot be used, each with its own error.
    """
    classifier = load_classifier(config)
    sources = checked_sources(config, classifier.contract, running)
    common = sources[COMMON]
    level_thresholds = watch_thresholds(config.level_classes, classifier.contract)
    journal = open_journal()
    context = EngineContext(
        node=node_name(config),
        classifier=classifier,
        rules=common.rules,
        thresholds=common.thresholds,
        clock=clock,
        journal=journal,
        stats_s=config.stats_s,
        sources=sources,
        level_thresholds=level_thresholds,
    )
    return context, journal


def rebuild(before: InForce, run_config: RunConfig, log: Logger) -> InForce:
    """Build the dependencies of another configuration; the model file is read again. Equal parts stay the same objects.

    Raises:
        SoundwatchError: The model, a rule or an output cannot be used, or a change needs a restart.
    """
    config, context = run_config.config, before.context
    classifier = load_classifier(config)
    if (classifier.contract, classifier.provider) == (context.classifier.contract, context.classifier.provider):
        classifier = context.classifier
    old, new = context.classifier.contract, classifier.contract
    if new.identity == old.identity and new.labels != old.labels:
        raise ConfigError("detection.tags cannot be changed while the program runs; restart the program for that.")
    if (new.features, new.labels) != (old.features, old.labels):
        raise ConfigError(
            f"The model {new.identity} has another front end or other classes than {old.identity}, which runs; "
            "restart the program for that."
        )
    sources = checked_sources(config, new, run_config.sources)
    check_outputs(config, new, run_config.sources)
    common = sources[COMMON]
    after = replace(
        context,
        classifier=classifier,
        rules=common.rules,
        thresholds=common.thresholds,
        stats_s=config.stats_s,
        sources=sources,
    )
    shadow = build_shadow(config, after, before.shadow, log)
    after = replace(after, shadow=shadow)
    return InForce(run_config, context if after == context else after, shadow, sources)


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

    return build_clips(config.clips, context, log, needs_guard=needs_speech_guard(config))


def build_level_tap(
    in_force: Callable[[], Config],
    context: EngineContext,
    sources: Callable[[], Mapping[str, SourceConfig]],
    log: Logger,
) -> LevelMeter | None:
    """Build the sound level meters; None where they are off.

    Args:
        in_force: Returns the configuration in force; a reload changes no class of the meters.
        context: Dependencies of the engine.
        sources: Returns the configured sources by name; a recording need not be one.
        log: Log of the meters.
    """
    config = in_force()
    if not config.level.enabled:
        return None

    def offset_db(source: str) -> float | None:
        configured = sources().get(source)
        return None if configured is None else configured.level_offset_db

    def watch(source: str, contract: ModelContract) -> LevelWatch:
        level = in_force().level_of(source)
        rules = watch_rules(level, config.level_classes, in_force().detection, contract)
        return LevelWatch(level, rules, contract.features.rate_hz)

    return LevelMeter(
        watch,
        offset_db,
        lambda: in_force().place.zone,
        context.live.publish_level,
        context.journal.append,
        log,
        bands=config.level.bands,
    )


def build_taps(
    in_force: InForce, current: Callable[[], RunConfig], log: Logger
) -> tuple[InForce, contextlib.AbstractContextManager[object]]:
    """Add the recorder of clips, the meters and the shadow model to what is in force; also return the writer of clips.

    Raises:
        SoundwatchError: The folder, the speech guard or the second model cannot be used.
    """
    config = in_force.run_config.config
    clip_tap, clip_writer = build_clip_tap(config, in_force.context, log)
    level_tap = build_level_tap(lambda: current().config, in_force.context, lambda: current().sources, log)
    context = replace(in_force.context, clip_tap=clip_tap, level_tap=level_tap)
    shadow = build_shadow(config, context, None, log)
    return InForce(in_force.run_config, replace(context, shadow=shadow), shadow, context.sources), clip_writer


def build_engine(context: EngineContext, notifier: SystemdNotifier, log: Logger) -> Engine:
    """Build the engine; a service manager is notified of its progress if there is one."""
    return Engine(context, log, on_tick=Watchdog(notifier, log)) if notifier.connected else Engine(context, log)


def build_source(run_config: RunConfig, name: str, model_channels: int, log: Logger) -> LiveSource:
    """Open a source; a recording reports its findings to the log at its end.

    Raises:
        SourceError: The source cannot be used.
    """
    source = run_config.sources[name]
    opened = open_live_source(
        name, source.device, source.channels, source.pcm, source.certificate, wait=name in run_config.waiting
    )
    log.info("source_opened", source=name, device=opened.info.description)
    return report_recording(opened, model_channels, log)


def build_replay(config: Config, log: Logger) -> tuple[EngineContext, DirectWriter]:
    """Build the dependencies of a replay and the writer of its lines.

    Raises:
        SoundwatchError: The model or a file cannot be used.
    """
    specs = [parse_sink(text) for text in config.sinks]
    places = set[Place]()
    for spec in specs:
        if spec.kind != "json":
            raise ConfigError(f"-F {spec.text}: recordings are only written to json and json:PATH.")
        if (place := file_place(spec.target)) in places:
            raise ConfigError(f"-F {spec.text}: its place is that of another sink. Leave one of the two out.")
        places.add(place)
    options = [parse_options(spec, JsonOptions) for spec in specs]
    with_scores, with_level = [option.scores for option in options], [option.level for option in options]
    context, writer = build_context(
        config, SampleClock(), lambda: DirectWriter([open_file(spec.target) for spec in specs], log)
    )
    if any(with_scores):
        context.live.subscribe(lambda window: writer.write_unnumbered(scores_line(window, context.node), with_scores))
    if any(with_level):
        context.live.subscribe_levels(lambda line: writer.write_unnumbered(line, with_level))
    level_tap = build_level_tap(lambda: config, context, lambda: config.sources, log)
    return replace(context, level_tap=level_tap), writer


def build_shadow(
    config: Config, context: EngineContext, running: ShadowRunner | None, log: Logger
) -> ShadowRunner | None:
    """Build the shadow model of a context, or return the running one if the result would be equal.

    Raises:
        SoundwatchError: The model cannot be opened, or does not match the context's model.
    """
    if config.shadow.file is None:
        return None
    from soundwatch.daemon.shadow.build import open_shadow

    opened = open_shadow(config, context, log)
    return running if running is not None and running.pair == opened.pair and not running.failed else opened
