"""The running daemon: start, reload and stop.

Conventions: SIGINT and SIGTERM stop it, SIGHUP reads the configuration again, in its own thread. On a reload
everything that can be refused is opened first, and only then is anything closed.
Rule: unchanged parts continue. A configuration that is wrong, or needs a restart, changes nothing and is reported.
Does not: read files (`cli/run.py`), compare configurations (`reload.py`) or construct classes (`build.py`).
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from soundwatch.daemon.app.build import (
    build_clip_tap,
    build_context,
    build_journal,
    build_shadow,
    rebuild_context,
    release_memory,
)
from soundwatch.daemon.app.lifecycle import Lifecycle
from soundwatch.daemon.app.outputs import OutputManager
from soundwatch.daemon.app.reload import ConfigDiff, RunConfig, diff_configs
from soundwatch.daemon.app.summary import run_summary
from soundwatch.daemon.app.watchdog import Watchdog
from soundwatch.daemon.capture import open_live_source
from soundwatch.daemon.core.clock import WallClock, format_utc
from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.core.source import LiveSource
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.events.notices import interrupted_line
from soundwatch.daemon.events.schema import UNNUMBERED, ReloadLine
from soundwatch.daemon.inference.classifier import log_fields
from soundwatch.daemon.sinks.context import ActiveModel, SinkContext
from soundwatch.daemon.status.snapshot import StatusTracker
from soundwatch.daemon.system.job_control import JobControl
from soundwatch.daemon.system.sd_notify import SystemdNotifier
from soundwatch.daemon.system.signals import stop_on_signals

if TYPE_CHECKING:
    from soundwatch.daemon.shadow.runner import ShadowRunner

SIGHUP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none


class Daemon:
    """A daemon that runs until its sources end, or a signal stops it.

    Args:
        run_config: Configuration to start with.
        reread: Reads the configuration again; called on each SIGHUP.
        log: The log.

    Raises:
        SoundwatchError: Something cannot be opened.
    """

    def __init__(self, run_config: RunConfig, reread: Callable[[], RunConfig], log: Logger) -> None:
        self._run_config = run_config
        self._reread = reread
        self._log = log
        self._notifier = SystemdNotifier.from_environment(os.environ)  # before any child could inherit it
        self._lifecycle = Lifecycle(self._notifier)
        self._job = JobControl()
        self._tracker = StatusTracker(tuple(run_config.sources))
        self._hangups = queue.SimpleQueue[bool]()  # its put is safe in a signal handler
        self._sessions: dict[str, SourceSession] = {}
        self._context, self._journal = build_context(
            run_config.config, WallClock(), lambda: build_journal(run_config.config, log, self._tracker)
        )
        log.info("model_loaded", **log_fields(self._context.classifier))

    def run(self) -> None:
        """Run until all sources have ended or a signal stops the daemon.

        Raises:
            SoundwatchError: Something could not be opened, every source failed, or nothing can be written.
        """
        config = self._run_config.config
        with contextlib.closing(self._journal), stop_on_signals(self._lifecycle.stop), self._job.handled():
            clip_tap, clip_writer = build_clip_tap(config, self._context, self._log)
            self._context = replace(self._context, clip_tap=clip_tap)
            self._context = replace(self._context, shadow=build_shadow(config, self._context, None, self._log))
            self._engine = Engine(self._context, self._log, on_tick=Watchdog(self._notifier, self._log))
            self._outputs = OutputManager(
                lambda: self._context,
                lambda: self._run_config.config,
                self._journal,
                self._sink_context(),
                self._lifecycle.fail,
                self._log,
            )
            with contextlib.closing(self._outputs), clip_writer, self._shadow_running(), self._reload_on_hangup():
                self._outputs.open_all()
                self._end_interrupted()
                for name in self._run_config.sources:
                    self._sessions[name] = self._lifecycle.add(self._open_source(name, self._run_config))
                release_memory()
                self._engine.run(self._lifecycle.sessions)
        self._notifier.stopping()
        self._log.info("finished", **run_summary(self._tracker.snapshot, self._run_config.config.journal))
        self._raise_failure()

    def _sink_context(self) -> SinkContext:
        return SinkContext(
            node=self._context.node,
            log=self._log,
            journal=self._journal,
            status=self._tracker,
            live=self._context.live,
            model=self._active_model,
            set_listening=self._engine.set_listening,
            job=self._job,
        )

    def _active_model(self) -> ActiveModel:
        classifier = self._context.classifier
        return ActiveModel(
            identity=classifier.contract.identity,
            provider=classifier.provider,
            labels=classifier.contract.labels,
            classes=tuple(self._context.thresholds),
        )

    def _open_source(self, name: str, run_config: RunConfig) -> LiveSource:
        source = run_config.sources[name]
        opened = open_live_source(name, source.device, source.channels, source.pcm, name in run_config.waiting)
        self._log.info("source_opened", source=name, device=opened.info.description)
        return opened

    def _end_interrupted(self) -> None:
        """End the events that a killed process left open."""
        for last in self._journal.store.open_events():
            try:
                line = interrupted_line(last, time.time_ns())
            except (msgspec.DecodeError, ValueError) as error:  # of another release, or damaged
                self._log.warning("open_event_unreadable", error=str(error))
            else:
                self._journal.append(line)

    def _raise_failure(self) -> None:
        """Raise the failure that stopped the daemon, or that of the first source if all sources failed."""
        if self._lifecycle.failure is not None:
            raise self._lifecycle.failure
        failures = [session.failure for session in self._lifecycle.sessions if session.failure is not None]
        if failures and len(failures) == len(self._lifecycle.sessions):
            raise failures[0]

    @contextlib.contextmanager
    def _shadow_running(self) -> Iterator[None]:
        """Run the shadow model, if there is one; a reload may replace it."""
        self._replace_shadow(None, _shadow_runner(self._context))
        try:
            yield
        finally:
            if (runner := _shadow_runner(self._context)) is not None:
                runner.close("ended")

    def _replace_shadow(self, before: ShadowRunner | None, after: ShadowRunner | None) -> None:
        """Start a shadow model in place of another; the engine has it already."""
        if after is before:
            return
        if after is not None:
            after.start()
            self._log.info("shadow_started", **after.log_fields)
        if before is not None:
            before.close("changed")

    @contextlib.contextmanager
    def _reload_on_hangup(self) -> Iterator[None]:
        """Read the configuration again on each SIGHUP."""
        reader = threading.Thread(target=self._run_reloads, name="reload", daemon=True)
        reader.start()
        before = signal.signal(SIGHUP, lambda *_: self._hangups.put(True)) if SIGHUP is not None else None
        try:
            yield
        finally:
            if SIGHUP is not None:
                signal.signal(SIGHUP, before)
            self._hangups.put(False)
            reader.join()  # what it opened is closed with the rest

    def _run_reloads(self) -> None:
        """Run the thread that applies other configurations."""
        while self._hangups.get():
            self._notifier.reloading()
            try:
                run_config = self._reread()
                changes = diff_configs(self._run_config, run_config)
                self._apply(run_config, changes)
            except SoundwatchError as error:
                self._log.error("reload_refused", error=str(error))
                self._append_reload_line("refused", f"{error} The old configuration stays in force.")
            else:
                self._run_config = run_config
                self._log.info("reloaded", changes=changes.text)
                self._append_reload_line("reloaded", changes.text)
            self._notifier.ready()

    def _apply(self, run_config: RunConfig, changes: ConfigDiff) -> None:
        """Open new parts, and then close removed ones.

        Raises:
            SoundwatchError: Something cannot be opened; nothing has changed.
        """
        before = self._context
        context = rebuild_context(before, run_config.config, _shadow_runner(before), self._log)
        sinks = self._outputs.prepare(changes.sinks_new, changes.sinks_gone)
        sources = {name: self._open_source(name, run_config) for name in changes.sources_new}
        if context is not None:
            self._context = context
            self._engine.swap_model(context)
            self._replace_shadow(_shadow_runner(before), _shadow_runner(context))
        for name in changes.sources_gone:
            session = self._sessions.pop(name)
            self._lifecycle.remove(session)
            self._engine.remove(session)
        for name, source in sources.items():
            self._sessions[name] = self._lifecycle.add(source)
            self._engine.add(self._sessions[name])
        for text, prepared in zip(changes.sinks_new, sinks, strict=True):
            self._outputs.add(text, prepared)
        for text in changes.sinks_gone:
            self._outputs.remove(text)

    def _append_reload_line(self, state: Literal["reloaded", "refused"], detail: str) -> None:
        time_text, node = format_utc(time.time_ns()), self._context.node
        model, runner = self._context.classifier.contract.identity, _shadow_runner(self._context)
        shadow = None if runner is None else runner.pair.shadow
        self._journal.append(
            ReloadLine(
                seq=UNNUMBERED, time=time_text, node=node, state=state, detail=detail, model=model, shadow=shadow
            )
        )


def _shadow_runner(context: EngineContext) -> ShadowRunner | None:
    """Return the shadow of a context of this package; the engine knows it as a `WindowTap` only."""
    return cast("ShadowRunner | None", context.shadow)
