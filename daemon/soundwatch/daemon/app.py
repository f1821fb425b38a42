"""Puts the program together: the only place that names concrete classes.

Conventions: everything that can be refused is refused here, before the first sound is heard.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from soundwatch.daemon.board import Notice
from soundwatch.daemon.calibrate import Calibration, calibrate, load_calibration
from soundwatch.daemon.capture import Recording, open_lasting
from soundwatch.daemon.classify import open_classifier
from soundwatch.daemon.clocks import SampleClock, WallClock
from soundwatch.daemon.config import Config, ModelConfig, SourceConfig, check_against
from soundwatch.daemon.contract import ModelContract
from soundwatch.daemon.decide import Rule
from soundwatch.daemon.engine import Engine
from soundwatch.daemon.errors import ConfigError, SinkError, SoundwatchError, SourceError
from soundwatch.daemon.journal import Appender, Journal
from soundwatch.daemon.journal_file import limits_of, open_for_writing
from soundwatch.daemon.listen import Ears, Listening
from soundwatch.daemon.outlets import Outlets
from soundwatch.daemon.plight import LiveSource
from soundwatch.daemon.recordings import score_windows
from soundwatch.daemon.relay import Relay
from soundwatch.daemon.rules import rules_for, thresholds
from soundwatch.daemon.sinks import Surroundings, open_sink, parse_sink
from soundwatch.daemon.sinks.files import open_file
from soundwatch.daemon.store import MEMORY
from soundwatch.daemon.types import Classifier, Clock, Source
from soundwatch.daemon.wire import interrupted_line


def load_model(config: ModelConfig) -> Classifier:
    """The classifier that the configuration names.

    Raises:
        ModelError: The file cannot be used.
        ProviderError: What was asked to run it cannot be had.
    """
    return open_classifier(config.file, config.provider, config.backend, config.require_cuda, config.threads)


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


@contextlib.contextmanager
def signals_to(stop: Callable[[], None]) -> Iterator[None]:
    """While this lasts, SIGINT and SIGTERM call `stop`."""

    def handle(*_: object) -> None:
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Program:
    """The sources that are being listened to, and the wish to stop."""

    def __init__(self) -> None:
        self.listenings: list[Listening] = []
        self.stop_asked = False
        self.failure: SoundwatchError | None = None

    def add(self, source: LiveSource) -> Listening:
        """Take up a source that has been opened."""
        listening = Listening(source)
        self.listenings.append(listening)
        if self.stop_asked:
            listening.stop()
        return listening

    def stop(self) -> None:
        """End every source's events and then the program. Safe in a signal handler: it takes no lock."""
        self.stop_asked = True
        for listening in self.listenings:
            listening.stop()

    def fail(self, error: SoundwatchError) -> None:
        """Stop, and end with an error."""
        self.failure = error
        self.stop()


def run_live(config: Config, sources: dict[str, SourceConfig], log: Any, waiting: Collection[str] = ()) -> None:
    """Listen to all sources until they end or a signal asks to stop.

    Args:
        config: Everything else.
        sources: What to listen to, by name.
        log: The diary.
        waiting: Which of them are waited for where their microphone is not there yet.

    Raises:
        SoundwatchError: Something could not be opened, or every source broke, or nothing can be written.
    """
    program = Program()
    notice = Notice(tuple(sources))

    def opened() -> Journal:
        store = open_for_writing(config.journal, log.warning)
        return Journal(store, limits_of(config.journal), node_of(config), log.warning, notice.read)

    ears = build(config, WallClock(), opened)
    assert isinstance(ears.journal, Journal)
    log.info("model loaded", model=ears.classifier.contract.identity, provider=ears.classifier.provider)
    engine = Engine(ears, log.warning)
    with contextlib.closing(ears.journal), signals_to(program.stop):
        surroundings = Surroundings(
            node=ears.node,
            labels=ears.classifier.contract.labels,
            board=lambda: notice.board,
            live=ears.live,
            switch=engine.switch,
            say=log.warning,
            classes=tuple(ears.thresholds),
            note=log.debug,
            after=ears.journal.after,
        )
        with _sinks(config, ears.journal, surroundings, program):
            _end_interrupted(ears.journal)
            for name, source in sources.items():
                listening = program.add(open_lasting(name, source.device, source.channels, source.pcm, name in waiting))
                log.info("listening", source=name, device=listening.source.info.description)
            _give_back_memory()
            engine.run(program.listenings)
    failures = [listening.failure for listening in program.listenings if listening.failure is not None]
    if program.failure is not None:
        raise program.failure
    if failures and len(failures) == len(sources):
        raise failures[0]


@contextlib.contextmanager
def _sinks(config: Config, journal: Journal, surroundings: Surroundings, program: Program) -> Iterator[None]:
    """Hand lines to the sinks while this lasts, and all that is left at its end.

    Raises:
        SinkError: A sink cannot be opened, or has not taken lines that nothing keeps for it.
    """

    def all_gone(names: str) -> None:
        program.fail(
            SinkError(
                f"The reader of {names} has gone and nothing else is written to; stopping. Give a file with "
                "-F json:PATH to keep events when a reader goes."
            )
        )

    outlets = Outlets(surroundings.say, all_gone)
    try:
        for spec in [parse_sink(text) for text in config.sinks]:
            opened = open_sink(spec, surroundings)
            outlets.add(opened.sink, journal, durable=opened.durable)
        yield
    finally:
        journal.flush()
        left = outlets.close()
    for name, lines in left.items():
        if journal.store.path == MEMORY:
            raise SinkError(f"{lines} lines could not be written to {name}, and there is no journal that keeps them.")
        surroundings.say("lines are left for the next start", sink=name, lines=lines)


def _end_interrupted(journal: Journal) -> None:
    """End the events that a killed program left open."""
    for last in journal.store.open_events():
        journal.append(partial(interrupted_line, last, time.time_ns()))


def replay(config: Config, paths: Sequence[Path], start_unix_ns: int, log: Any) -> None:
    """Run recordings through the same engine, one after another, as fast as it goes.

    Raises:
        SoundwatchError: A recording or the model cannot be used, or a line could not be written.
    """
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
        for path in paths:
            try:
                program.add(Recording(path.stem, path, "fast", start_unix_ns)).read_through(ears)
            except SourceError as error:
                log.error("a recording was not heard to its end", file=str(path), error=str(error))
                failures.append(error)
            _report_losses(relay)
            if program.stop_asked:
                break
    if failures:
        raise failures[0]


def _give_back_memory() -> None:
    """Hand what opening the model left free back to the system, some megabytes, where the C library can."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _report_losses(relay: Relay) -> None:
    """Say at the end what could not be written.

    Raises:
        SinkError: Lines were lost.
    """
    for name, lost_lines in relay.losses.items():
        raise SinkError(
            f"{lost_lines} lines could not be written to {name}. Make room there, or give another file with "
            "-F json:PATH."
        )
