"""The program while it listens, and how it takes up another configuration without losing what it hears.

Conventions: SIGINT and SIGTERM stop it, SIGHUP has the configuration read again. That is done in a thread of its own:
everything that can be refused is opened first, and only then is anything closed.
Rule: what is not changed goes on as it is. What is wrong, or takes a new start, leaves all as it was, and that is told.
Does not: read files (`cli/run.py`), or know what may change (`app/reload.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from soundwatch.daemon.app.build import build_context, node_name
from soundwatch.daemon.app.lifecycle import Lifecycle
from soundwatch.daemon.app.outputs import OutputManager
from soundwatch.daemon.app.reload import ConfigDiff, RunConfig, diff_configs
from soundwatch.daemon.app.watchdog import Watchdog
from soundwatch.daemon.capture import open_live_source
from soundwatch.daemon.core.clock import WallClock, format_utc
from soundwatch.daemon.core.config import Config
from soundwatch.daemon.core.errors import ConfigError, SoundwatchError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.core.source import LiveSource
from soundwatch.daemon.detection.rules import resolve_rules, thresholds_in_force
from soundwatch.daemon.engine.context import ClipTap, EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.events.encoder import interrupted_line
from soundwatch.daemon.events.schema import UNNUMBERED, ReloadLine
from soundwatch.daemon.inference.classifier import log_fields
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.location import open_for_writing, retention_limits
from soundwatch.daemon.sinks.context import ActiveModel, SinkContext
from soundwatch.daemon.status.snapshot import StatusTracker
from soundwatch.daemon.system.sd_notify import SystemdNotifier
from soundwatch.daemon.system.signals import stop_on_signals

if TYPE_CHECKING:
    from soundwatch.daemon.shadow.runner import ShadowRunner

SIGHUP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none


class Daemon:
    """A program that listens until its sources end, or a signal asks to stop.

    Args:
        ask: Reads what is to be done; called now and at each SIGHUP.
        log: The diary.

    Raises:
        SoundwatchError: Something cannot be opened.
    """

    def __init__(self, ask: Callable[[], RunConfig], log: Logger) -> None:
        self._ask = ask
        self._log = log
        self._asked = asked = ask()
        self._notifier = SystemdNotifier.from_environment(os.environ)  # before any child could inherit it
        self._program = Lifecycle(self._notifier)
        self._notice = StatusTracker(tuple(asked.sources))
        self._hups = queue.SimpleQueue[bool]()  # its put is safe in a signal handler
        self._sessions: dict[str, SourceSession] = {}
        self._context = build_context(asked.config, WallClock(), self._open_journal)
        assert isinstance(self._context.journal, Journal)
        self._journal = self._context.journal
        log.info("model loaded", **log_fields(self._context.classifier))

    def run(self) -> None:
        """Listen.

        Raises:
            SoundwatchError: Something could not be opened, or every source broke, or nothing can be written.
        """
        with contextlib.closing(self._journal), stop_on_signals(self._program.stop):
            clip_tap, writing = _clips(self._asked.config, self._context, self._log)
            self._context = replace(self._context, clip_tap=clip_tap)
            self._context = replace(self._context, shadow=self._shadow_for(self._asked.config, self._context))
            watch = Watchdog(self._notifier, self._log)
            self._engine = Engine(self._context, self._log, watch=watch)
            self._sending = OutputManager(
                lambda: self._context,
                lambda: self._asked.config,
                self._journal,
                self._sink_context(),
                self._program.fail,
                self._log,
            )
            with contextlib.closing(self._sending), writing, self._comparing(), self._hangups():
                self._sending.open_all()
                self._end_interrupted()
                for name in self._asked.sources:
                    self._sessions[name] = self._program.add(self._opened(name, self._asked))
                _give_back_memory()
                self._engine.run(self._program.sessions)
        self._notifier.stopping()
        self._raise_failure()

    def _open_journal(self) -> Journal:
        config = self._asked.config
        store = open_for_writing(config.journal, self._log)
        return Journal(store, retention_limits(config.journal), node_name(config), self._log, self._notice.apply)

    def _sink_context(self) -> SinkContext:
        return SinkContext(
            node=self._context.node,
            log=self._log,
            journal=self._journal,
            status=self._notice,
            live=self._context.live,
            model=self._active_model,
            set_listening=self._engine.switch,
        )

    def _active_model(self) -> ActiveModel:
        classifier = self._context.classifier
        return ActiveModel(
            identity=classifier.contract.identity,
            provider=classifier.provider,
            labels=classifier.contract.labels,
            classes=tuple(self._context.thresholds),
        )

    def _shadow_for(self, config: Config, context: EngineContext) -> ShadowRunner | None:
        """What is to run beside the model of these ears: what does already, if that would be the same.

        Raises:
            SoundwatchError: It cannot be opened, or cannot run beside that model.
        """
        if config.shadow.file is None:
            return None
        from soundwatch.daemon.shadow.build import open_shadow

        opened, running = open_shadow(config, context, self._log), _shadow_runner(self._context)
        if running is not None and running.pair == opened.pair and not running.failed:
            return running
        return opened

    @contextlib.contextmanager
    def _comparing(self) -> Iterator[None]:
        """While this lasts, the shadow runs, if there is one; it may be exchanged meanwhile."""
        self._begin_shadow(None, _shadow_runner(self._context))
        try:
            yield
        finally:
            if (runner := _shadow_runner(self._context)) is not None:
                runner.close("ended")

    def _begin_shadow(self, before: ShadowRunner | None, after: ShadowRunner | None) -> None:
        """Let a shadow take the place of another one, or of none; the engine has it already."""
        if after is before:
            return
        if after is not None:
            after.start()
            self._log.info("a shadow hears beside the model", **after.facts)
        if before is not None:
            before.close("changed")

    def _opened(self, name: str, asked: RunConfig) -> LiveSource:
        source = asked.sources[name]
        opened = open_live_source(name, source.device, source.channels, source.pcm, name in asked.waiting)
        self._log.info("listening", source=name, device=opened.info.description)
        return opened

    def _end_interrupted(self) -> None:
        """End the events that a killed program left open."""
        for last in self._journal.store.open_events():
            self._journal.append(interrupted_line(last, time.time_ns()))

    def _raise_failure(self) -> None:
        """End with an error where nothing was heard to its end."""
        if self._program.failure is not None:
            raise self._program.failure
        failures = [each.failure for each in self._program.sessions if each.failure is not None]
        if failures and len(failures) == len(self._program.sessions):
            raise failures[0]

    @contextlib.contextmanager
    def _hangups(self) -> Iterator[None]:
        """While this lasts, SIGHUP has the configuration read again."""
        reader = threading.Thread(target=self._read_again, name="reload", daemon=True)
        reader.start()
        before = signal.signal(SIGHUP, lambda *_: self._hups.put(True)) if SIGHUP is not None else None
        try:
            yield
        finally:
            if SIGHUP is not None:
                signal.signal(SIGHUP, before)
            self._hups.put(False)
            reader.join()  # what it opened is closed with the rest

    def _read_again(self) -> None:
        """The thread that takes up other configurations."""
        while self._hups.get():
            self._notifier.reloading()
            try:
                asked = self._ask()
                changes = diff_configs(self._asked, asked)
                self._take_up(asked, changes)
            except SoundwatchError as error:
                self._log.error("the new configuration is refused; the old one stays in force", error=str(error))
                self._tell("refused", f"{error} The old configuration stays in force.")
            else:
                self._asked = asked
                self._log.warning("another configuration is in force", changes=changes.text)
                self._tell("reloaded", changes.text)
            self._notifier.ready()

    def _take_up(self, asked: RunConfig, changes: ConfigDiff) -> None:
        """Open what is new, and then close what is gone.

        Raises:
            SoundwatchError: Something cannot be opened; all is as before.
        """
        context = self._rebuilt(asked.config)
        sinks = self._sending.prepare(changes.sinks_new, changes.sinks_gone)
        sources = {name: self._opened(name, asked) for name in changes.sources_new}
        if context is not None:
            before, self._context = self._context, context
            self._engine.exchange(context)
            self._begin_shadow(_shadow_runner(before), _shadow_runner(context))
        for name in changes.sources_gone:
            listening = self._sessions.pop(name)
            self._program.remove(listening)
            self._engine.drop(listening)
        for name, source in sources.items():
            self._sessions[name] = self._program.add(source)
            self._engine.add(self._sessions[name])
        for text in changes.sinks_gone:
            self._sending.remove(text)
        for text, prepared in zip(changes.sinks_new, sinks, strict=True):
            self._sending.add(text, prepared)

    def _rebuilt(self, config: Config) -> EngineContext | None:
        """What all sources are to share from now on, if that is other than before; model files are read again.

        Raises:
            SoundwatchError: The model or a rule cannot be used, or takes a new start.
        """
        before, classifier = self._context, load_classifier(config.model)
        if (classifier.contract, classifier.provider) == (before.classifier.contract, before.classifier.provider):
            classifier = before.classifier
        old, new = before.classifier.contract, classifier.contract
        if (new.features, new.labels) != (old.features, old.labels):
            raise ConfigError(
                f"The model {new.identity} has another front end or other classes than {old.identity}, which listens; "
                "start the program again for that."
            )
        rules = resolve_rules(config, new)
        after = replace(
            before,
            classifier=classifier,
            rules=rules,
            thresholds=thresholds_in_force(rules, new.labels),
            stats_s=config.stats_s,
        )
        after = replace(after, shadow=self._shadow_for(config, after))
        return None if after == before else after

    def _tell(self, state: Literal["reloaded", "refused"], detail: str) -> None:
        time_text, node = format_utc(time.time_ns()), self._context.node
        model, beside = self._context.classifier.contract.identity, _shadow_runner(self._context)
        shadow = None if beside is None else beside.pair.shadow
        self._journal.append(
            ReloadLine(
                seq=UNNUMBERED, time=time_text, node=node, state=state, detail=detail, model=model, shadow=shadow
            )
        )


def _shadow_runner(context: EngineContext) -> ShadowRunner | None:
    """Return the shadow of a context that this module built; the engine knows it as a `WindowTap` only."""
    return cast("ShadowRunner | None", context.shadow)


def _clips(
    config: Config, context: EngineContext, log: Logger
) -> tuple[ClipTap | None, contextlib.AbstractContextManager[object]]:
    """What keeps sound for clips, and what writes them until its end; nothing where nobody asked for clips."""
    if config.clips.folder is None:
        return None, contextlib.nullcontext()
    from soundwatch.daemon.clips.build import build_clips

    return build_clips(config.clips, context, log)


def _give_back_memory() -> None:
    """Hand what opening the model left free back to the system, some megabytes, where the C library can."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
