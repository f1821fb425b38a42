"""The running daemon: start, reload and stop.

Conventions: SIGINT and SIGTERM stop it, SIGHUP reloads the configuration, in its own thread. On a reload
everything that can be refused is opened first, and only then is anything closed.
Rule: unchanged parts continue. A configuration that is wrong, or needs a restart, changes nothing and is reported.
Does not: read files (`cli/run.py`), compare configurations (`reload.py`) or choose models and sources (`build.py`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from soundwatch.daemon.app.build import (
    InForce,
    build_context,
    build_engine,
    build_journal,
    build_source,
    build_taps,
    rebuild,
)
from soundwatch.daemon.app.config_editor import FileEditor
from soundwatch.daemon.app.control import SourceControl
from soundwatch.daemon.app.control_actions import ControlActions
from soundwatch.daemon.app.lifecycle import Lifecycle
from soundwatch.daemon.app.outputs import Outputs
from soundwatch.daemon.app.reload import ConfigDiff, RunConfig, diff_configs
from soundwatch.daemon.app.reload_requests import ENDING_S, ReloadRequest, ReloadRequests, begin, refuse
from soundwatch.daemon.app.summary import run_summary, uncalibrated_sources
from soundwatch.daemon.capture.monitoring.source_wrapper import close_unused
from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.network.redact import redact_text
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.process.memory import release_memory
from soundwatch.daemon.core.process.stop_request import StoppedError
from soundwatch.daemon.core.records.source import LiveSource
from soundwatch.daemon.core.time.clock import WallClock, format_utc
from soundwatch.daemon.detection.effective import SourceSettings
from soundwatch.daemon.detection.rules import COMMON, Adjustments, adjust_sources
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.events.health_schema import ReloadLine
from soundwatch.daemon.events.notices import interrupted_line
from soundwatch.daemon.events.schema import UNNUMBERED
from soundwatch.daemon.inference.classifier import log_fields
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.status.snapshot import StatusTracker
from soundwatch.daemon.system.job_control import JobControl
from soundwatch.daemon.system.sd_notify import SystemdNotifier
from soundwatch.daemon.system.signals import hangups_to, stop_on_signals

if TYPE_CHECKING:
    from soundwatch.daemon.shadow.runner import ShadowRunner


class Daemon:
    """A daemon that runs until its sources end, or a signal stops it.

    Args:
        run_config: Configuration to start with.
        reread: Reads the configuration again; called on each SIGHUP, and with a content of the file to check it.
        log: The log.
        path: The configuration file, for changes of settings; None for none.

    Raises:
        SoundwatchError: Something cannot be opened.
    """

    def __init__(
        self, run_config: RunConfig, reread: Callable[[bytes | None], RunConfig], log: Logger, path: Path | None = None
    ) -> None:
        self._reread = reread
        self._log = log
        self._notifier = SystemdNotifier.from_environment(os.environ)  # before any child could inherit it
        self._lifecycle = Lifecycle(self._notifier)
        self._job = JobControl()
        self._tracker = StatusTracker(tuple(run_config.sources))
        self._reloads = ReloadRequests()
        self._editor = FileEditor(path, reread, lambda: self._in_force, self._reloads.wait, log)
        self._sessions: dict[str, SourceSession] = {}
        self._lock = threading.RLock()  # held while a reload, a schedule or a command changes what is in force
        config, names = run_config.config, tuple(run_config.sources)
        context, self._journal = build_context(
            config, WallClock(), lambda: build_journal(config, log, self._tracker), names
        )
        self._in_force = InForce(run_config, context)
        log.info("model_loaded", **log_fields(context.classifier))

    def run(self) -> None:
        """Run until all sources have ended or a signal stops the daemon.

        Raises:
            SoundwatchError: Something could not be opened, every source failed, or nothing can be written.
        """
        with stop_on_signals(self._lifecycle.stop), contextlib.closing(self._journal), self._job.handled():
            self._in_force, clip_writer = build_taps(self._in_force, lambda: self._in_force.run_config, self._log)
            self._engine = build_engine(self._in_force.context, self._notifier, self._log)
            self._control = self._build_control()
            self._outputs = Outputs(self._view(), self._lifecycle.fail)
            outputs, control = contextlib.closing(self._outputs), contextlib.closing(self._control)
            with outputs, clip_writer, self._shadow_running(), control, self._reload_on_hangup():
                self._outputs.open_all()
                self._end_interrupted()
                run_config = self._in_force.run_config
                with contextlib.suppress(StoppedError):  # the sources that are open end as usual
                    for name in run_config.sources:
                        source = self._open(run_config, name)
                        self._sessions[name] = self._lifecycle.add(source)
                self._control.start(run_config)
                release_memory()
                self._engine.run(self._lifecycle.sessions)
        self._notifier.stopping()
        summary = run_summary(
            self._tracker.snapshot, self._in_force.run_config, self._journal.store.path, failing=self._journal.failing
        )
        self._log.info("finished", **summary)
        self._raise_failure()

    def _open(self, run_config: RunConfig, name: str) -> LiveSource:
        return build_source(run_config, name, self._in_force.context.classifier.contract.features.channels, self._log)

    def _build_control(self) -> SourceControl:
        actions = ControlActions(
            self._engine.set_listening, self._adjust, self._journal.append, self._in_force.context.node
        )
        return SourceControl(actions, self._log, self._lock)

    def _adjust(self, adjustments: Adjustments) -> None:
        """Use the thresholds of the configuration with changes from the next window on."""
        in_force = self._in_force
        contract, names = in_force.context.classifier.contract, in_force.run_config.sources
        sources = adjust_sources(in_force.base, adjustments, names, contract)
        self._in_force = replace(in_force, context=replace(in_force.context, sources=sources))
        self._engine.swap_model(self._in_force.context)

    def _settings(self) -> dict[str, SourceSettings]:
        """Return the settings in force of each source."""
        in_force = self._in_force
        rules = in_force.context.sources
        return {name: rules.get(name, rules[COMMON]).settings for name in in_force.run_config.sources}

    def _view(self) -> DaemonView:
        context = self._in_force.context
        return DaemonView(
            node=context.node,
            log=self._log,
            journal=self._journal,
            status=self._tracker,
            live=context.live,
            config=lambda: self._in_force.run_config.config,
            model=lambda: self._in_force.model,
            set_listening=self._control.set_listening,
            settings=self._settings,
            control=self._control,
            uncalibrated=lambda: uncalibrated_sources(self._tracker.snapshot, self._in_force.run_config),
            clip_pending=lambda id_: context.clip_tap is not None and context.clip_tap.is_pending(id_),
            editor=self._editor,
            job=self._job,
        )

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
        self._replace_shadow(None, self._in_force.shadow)
        try:
            yield
        finally:
            if self._in_force.shadow is not None:
                self._in_force.shadow.close("ended")

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
        """Read the configuration again on each SIGHUP, also on one that arrived during the start."""
        reader = threading.Thread(target=self._run_reloads, name="reload", daemon=True)
        reader.start()
        try:
            with hangups_to(self._reloads.add):
                yield
        finally:
            self._reloads.end()
            reader.join(ENDING_S)  # what it opened is closed with the rest

    def _run_reloads(self) -> None:
        """Run the thread that applies other configurations."""
        for request in self._reloads:
            self._notifier.reloading()
            try:
                run_config = self._reread(None)
                changes = diff_configs(self._in_force.run_config, run_config)
                if not begin(request):
                    continue
                self._apply(run_config, changes)
            except SoundwatchError as error:
                self._refuse_reload(str(error), request)
            except Exception as error:  # noqa: BLE001  # e.g. no file descriptors; a later reload may succeed
                self._refuse_reload(f"{type(error).__name__}: {error}.", request)
            else:
                self._log.info("reloaded", changes=changes.text)
                self._append_reload_line("reloaded", changes.text)
                request.set_result(changes.text)
            finally:
                self._notifier.ready()

    def _refuse_reload(self, error: str, request: ReloadRequest) -> None:
        reason = redact_text(error)
        self._log.error("reload_refused", error=reason)
        self._append_reload_line("refused", f"{reason} The old configuration stays in force.")
        refuse(request, reason)

    def _apply(self, run_config: RunConfig, changes: ConfigDiff) -> None:
        """Open new parts, and then close removed ones; a sink ends before its successor starts.

        Raises:
            SoundwatchError: Something cannot be opened; nothing has changed.
        """
        before = self._in_force
        after = rebuild(before, run_config, self._log)
        sinks = self._outputs.prepare(changes.sinks_added, changes.sinks_removed)
        rules = self._outputs.prepare_rules(run_config.config)
        sources = self._open_all(run_config, changes.sources_added)
        with self._lock:
            self._in_force = after
            for name in changes.sources_removed:
                session = self._sessions.pop(name)
                self._lifecycle.remove(session)
                self._engine.remove(session)
            for name, source in sources.items():
                self._sessions[name] = self._lifecycle.add(source)
                self._engine.add(self._sessions[name])
            self._control.configure(run_config)
            self._replace_shadow(before.shadow, after.shadow)
        self._outputs.remove(changes.sinks_removed)
        for text, prepared in zip(changes.sinks_added, sinks, strict=True):
            self._outputs.add(text, prepared)
        self._outputs.apply_rules(rules)

    def _open_all(self, run_config: RunConfig, names: Iterable[str]) -> dict[str, LiveSource]:
        """Open sources of a reload; if one cannot be opened, close the others.

        Raises:
            SoundwatchError: A source cannot be opened.
        """
        with contextlib.ExitStack() as opened:
            sources = dict[str, LiveSource]()
            for name in names:
                sources[name] = self._open(run_config, name)
                opened.callback(close_unused, sources[name])
            opened.pop_all()
        return sources

    def _append_reload_line(self, state: Literal["reloaded", "refused"], detail: str) -> None:
        context, runner = self._in_force.context, self._in_force.shadow
        self._journal.append(
            ReloadLine(
                seq=UNNUMBERED,
                time=format_utc(time.time_ns()),
                node=context.node,
                state=state,
                detail=detail,
                model=context.classifier.contract.identity,
                shadow=None if runner is None else runner.pair.shadow,
            )
        )
