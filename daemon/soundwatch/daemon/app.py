"""Puts the program together: the only place that names concrete classes.

Conventions: everything that can be refused is refused here, before the first sound is heard.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from soundwatch.daemon.capture import Recording, open_source
from soundwatch.daemon.classify import open_classifier
from soundwatch.daemon.clocks import SampleClock, WallClock
from soundwatch.daemon.config import Config, ModelConfig, SourceConfig, check_against
from soundwatch.daemon.errors import ConfigError, SinkError, SourceError
from soundwatch.daemon.journal import Journal
from soundwatch.daemon.listen import Ears, Listening
from soundwatch.daemon.rules import rules_for, thresholds
from soundwatch.daemon.sinks import open_sink
from soundwatch.daemon.types import Classifier, Clock, Source


def load_model(config: ModelConfig) -> Classifier:
    """The classifier that the configuration names.

    Raises:
        ModelError: The file cannot be used.
        ProviderError: What was asked to run it cannot be had.
    """
    return open_classifier(config.file, config.provider, config.backend, config.require_cuda, config.threads)


def build(config: Config, clock: Clock, log: Any) -> Ears:
    """All but the sources.

    Raises:
        SoundwatchError: The model, the configuration or a sink cannot be used, each with its own error.
    """
    classifier = load_model(config.model)
    check_against(config, classifier.contract)
    in_force = thresholds(config.detection, classifier.contract)
    if not in_force:
        raise ConfigError("detection.classes enables no class, so nothing could ever be heard; enable at least one.")
    return Ears(
        node=config.node or socket.gethostname(),
        classifier=classifier,
        rules=rules_for(config.detection, classifier.contract),
        thresholds=in_force,
        clock=clock,
        journal=Journal([open_sink(text) for text in dict.fromkeys(config.sinks)], log.warning),
    )


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
    return {"-": "stdin"}.get(device, Path(device).stem if Path(device).exists() else device)


class Program:
    """The sources that are being listened to, and the wish to stop."""

    def __init__(self) -> None:
        self.listenings: list[Listening] = []
        self.stop_asked = threading.Event()

    def add(self, source: Source, ears: Ears) -> Listening:
        """Take up a source that has been opened."""
        listening = Listening(source, ears)
        self.listenings.append(listening)
        if self.stop_asked.is_set():
            listening.stop()
        return listening

    def stop(self, *_: object) -> None:
        """End every source's events and then the program; a signal handler."""
        self.stop_asked.set()
        for listening in self.listenings:
            listening.stop()

    def __enter__(self) -> Program:
        self._handlers = {number: signal.signal(number, self.stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


def run_live(config: Config, sources: dict[str, SourceConfig], log: Any) -> None:
    """Listen to all sources until they end or a signal asks to stop.

    Raises:
        SoundwatchError: Something could not be opened, or every source broke, or nothing can be written.
    """
    ears = build(config, WallClock(), log)
    log.info("model loaded", model=ears.classifier.contract.identity, provider=ears.classifier.provider)
    with contextlib.closing(ears.journal), Program() as program:
        for name, source in sources.items():
            listening = program.add(open_source(name, source.device, source.channels, source.pcm), ears)
            log.info("listening", source=name, device=listening.source.info.description)
        failures = _listen_to_all(program, log)
    _report_losses(ears.journal)
    if failures and len(failures) == len(sources):
        raise failures[0]


def replay(config: Config, paths: Sequence[Path], start_unix_ns: int, log: Any) -> None:
    """Run recordings through the same engine, one after another, as fast as it goes.

    Raises:
        SoundwatchError: A recording or the model cannot be used, or a line could not be written.
    """
    ears = build(config, SampleClock(), log)
    failures: list[SourceError] = []
    with contextlib.closing(ears.journal), Program() as program:
        for path in paths:
            try:
                program.add(Recording(path.stem, path, "fast", start_unix_ns), ears).run()
            except SourceError as error:
                log.error("a recording was not heard to its end", file=str(path), error=str(error))
                failures.append(error)
            _report_losses(ears.journal)
            if program.stop_asked.is_set():
                break
    if failures:
        raise failures[0]


def _listen_to_all(program: Program, log: Any) -> list[SourceError]:
    """Run every source in a thread of its own until all are done.

    Returns:
        Why those that broke did, in the order they did.
    """
    failures: list[SourceError] = []
    with ThreadPoolExecutor(max_workers=len(program.listenings)) as pool:
        running = {pool.submit(listening.run): listening for listening in program.listenings}
        while running:
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)  # a timeout lets signals in on Windows
            for future in done:
                listening = running.pop(future)
                try:
                    future.result()
                except SourceError as error:
                    failures.append(error)
                    log.error("a source was lost", source=listening.source.info.name, error=str(error))
                except BaseException:
                    program.stop()
                    raise
    return failures


def _report_losses(journal: Journal) -> None:
    """Say at the end what could not be written.

    Raises:
        SinkError: Lines were lost.
    """
    for name, lost_lines in journal.losses.items():
        raise SinkError(
            f"{lost_lines} lines could not be written to {name}. Make room there, or give another file with "
            "-F json:PATH."
        )
