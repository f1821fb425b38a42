"""The alert rules of a running daemon: a sink for each destination of each rule.

Conventions: a destination's cursor has the name of its rule and of the destination, so a restart or a reload continues
where the destination was. A reload ends a changed rule's sinks before the new ones start, so no message is sent twice.
Does not: decide (`rules/decide.py`) or deliver lines (`sinks/worker.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from soundwatch.daemon.app.sink_line import append_sink_line
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.rules import RuleConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.rules.check import closure
from soundwatch.daemon.rules.history import StateCache
from soundwatch.daemon.rules.rule_set import RuleSet, rules_of
from soundwatch.daemon.rules.sender import PreparedTarget
from soundwatch.daemon.rules.sink import BATCH_LINES, RuleSink
from soundwatch.daemon.rules.state import RuleState
from soundwatch.daemon.rules.targets import prepare_target
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.dispatcher import SinkDispatcher
from soundwatch.daemon.sinks.protocols import RuleStatus, RuleTargetStatus, SinkStatus, TargetCounts
from soundwatch.daemon.sinks.spec import PreparedSink
from soundwatch.daemon.sinks.worker import CLOSING_S, SinkWorker


@dataclass(frozen=True, slots=True)
class RuleTarget:
    """A destination of a rule, prepared.

    Attributes:
        rule: Name of the rule.
        rule_set: The rule, and those that it depends on.
        target: The destination.
        key: Equal for equal rules and destinations.
    """

    rule: str
    rule_set: RuleSet
    target: PreparedTarget
    key: str

    @property
    def sink_name(self) -> str:
        """Name of the sink, in the log and among the cursors."""
        return f"rule:{self.rule}:{self.target.name}"


class RuleOutputs:
    """All destinations of all rules.

    Args:
        view: View of the daemon.
        now_unix_s: Returns the present time, in seconds since 1970.
        reported: As in `SinkDispatcher`.
    """

    def __init__(
        self, view: DaemonView, now_unix_s: Callable[[], float] = time.time, reported: set[str] | None = None
    ) -> None:
        self._view = view
        self._now_unix_s = now_unix_s
        self._dispatcher = SinkDispatcher(view.log, lambda _: None, partial(append_sink_line, view), reported)
        self._running: dict[str, tuple[RuleTarget, SinkWorker, list[RuleSink]]] = {}

    def apply(self, targets: Mapping[str, RuleTarget]) -> None:
        """End the destinations that are not wanted any more, and start new ones; equal ones continue."""
        unwanted = [key for key in self._running if key not in targets]
        self._dispatcher.remove([self._running.pop(key)[1] for key in unwanted])
        caches: dict[tuple[str, ...], StateCache] = {}
        for key, target in targets.items():
            if key not in self._running:
                names = tuple(target.rule_set.rules)
                journal = self._view.journal
                cache = caches.setdefault(names, StateCache(journal.store, target.rule_set, journal.read_after))
                opened: list[RuleSink] = []
                prepared = _prepared_sink(target, cache, self._view, opened, self._now_unix_s)
                self._running[key] = (target, self._dispatcher.add(prepared, self._view.journal), opened)

    def sink_statuses(self) -> list[tuple[SinkStatus, int]]:
        """Return the status of each destination's sink, and the number of lines that it has yet to take."""
        return self._dispatcher.statuses()

    def statuses(self) -> list[RuleStatus]:
        """Return the status of each rule."""
        running = list(self._running.values())
        return [
            _status(name, rule, [(worker, opened) for target, worker, opened in running if target.rule == name])
            for name, rule in self._view.config().rules.items()
        ]

    def close(self, patience_s: float = CLOSING_S) -> dict[str, int]:
        """Deliver the remaining lines, and end all destinations.

        Args:
            patience_s: Time for the remaining lines.

        Returns:
            Number of lines that were not delivered, by name of the sink.
        """
        return self._dispatcher.close(patience_s)


def prepare_rules(config: Config, view: DaemonView) -> dict[str, RuleTarget]:
    """Prepare the destinations of all enabled rules, by their keys; nothing is opened yet.

    Raises:
        ConfigError: A destination is unknown, its options are wrong, or a rule names it twice.
    """
    prepared: dict[str, RuleTarget] = {}
    enabled = {name: rule for name, rule in config.rules.items() if rule.enabled}
    for name, rule in enabled.items():
        rule_set = rules_of(config, closure(enabled, name))
        names: set[str] = set()
        for index, text in enumerate(rule.then.send):
            where = f"rules.{name}.then.send[{index}]"
            target = prepare_target(where, text, view)
            if target.name in names:
                raise ConfigError(f"{where}: {target.name} is named twice; leave one of them out.")
            names.add(target.name)
            key = repr((name, rule_set, text))
            prepared[key] = RuleTarget(name, rule_set, target, key)
    return prepared


def _prepared_sink(
    target: RuleTarget,
    cache: StateCache,
    view: DaemonView,
    opened: list[RuleSink],
    now_unix_s: Callable[[], float],
) -> PreparedSink:
    """Return the sink of a destination, which notes itself in `opened`."""
    name = target.sink_name

    def open_() -> RuleSink:
        state = cache.state_at(view.journal.cursor(name).delivered)
        sink = RuleSink(name, target.rule, target.rule_set, target.target.open(), state, view, now_unix_s)
        opened[:] = [sink]
        return sink

    return PreparedSink(
        name=name,
        place=("rule", name),
        open=open_,
        check=target.target.check,
        durable=True,
        batch_lines=BATCH_LINES,
    )


def _status(name: str, rule: RuleConfig, sinks: list[tuple[SinkWorker, list[RuleSink]]]) -> RuleStatus:
    states = [opened[0].rule_state for _, opened in sinks if opened]
    state = max(states, key=lambda one: one.sent_total + sum(one.held.values()), default=RuleState())
    return RuleStatus(
        name=name,
        enabled=rule.enabled,
        config=rule,
        decided=state.sent_total,
        held=state.held,
        last_decided_unix_ns=state.last_sent_ns,
        waiting=len(state.waiting),
        targets=tuple(
            RuleTargetStatus(worker.status, worker.backlog_lines, opened[0].counts if opened else TargetCounts())
            for worker, opened in sinks
        ),
    )
