"""Control of running sources: schedules, and what people ask for by the page or MQTT.

Conventions: a thread evaluates schedules when the next one begins or ends, and at once when the clock was set back, the
machine was suspended, or the zone of the system or the configuration was replaced; what applies depends on the moment
alone. Commands have their effect in the caller's thread. One lock, which a reload holds too, guards all state.
Rule: a source that a person has paused stays paused until a person resumes it; no schedule does so. A source that a
person resumes while a schedule pauses it delivers sound until that schedule ends or another one pauses it instead.
Rule: nobody resumes a source while a schedule with `pause: locked` pauses it, or disables a schedule that is locked.
Rule: offsets, and schedules that were enabled or disabled by hand, are forgotten at the end of the program.
Does not: evaluate windows (`schedules.py`), pause or change anything itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Literal

from soundwatch.daemon.app.control_actions import ControlActions
from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.app.schedules import (
    Schedules,
    active_schedules,
    applies_unset,
    change_reason,
    changed_schedules,
    mute_reason,
    muted_rules,
    next_digest,
    next_evaluation,
    pause_reason,
    paused_by,
    threshold_adjustments,
)
from soundwatch.daemon.config.schedule import muting_schedules
from soundwatch.daemon.core.errors import LockedError
from soundwatch.daemon.core.languages.language import Sentence
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.time.clock import DAY_S, SECOND_NS, format_utc
from soundwatch.daemon.core.time.system_zone import follow_system_zone
from soundwatch.daemon.detection.effective import ThresholdAdjustment
from soundwatch.daemon.events.health_schema import ControlLine, MuteLine
from soundwatch.daemon.events.schema import UNNUMBERED
from soundwatch.daemon.sinks.daemon_view import ControlState, ScheduleState

TICK_S: Final = 1.0
ZONE_S: Final = 60.0  # between two looks at the time zone of the system, where no schedule needs more
CLOSING_S: Final = 5.0


class SourceControl:
    """Schedules and commands of all sources.

    Args:
        actions: Effects of the control.
        log: The log.
        lock: Guards the state; a reload holds it while it replaces the configuration.
        now_ns: The wall clock, in nanoseconds since 1970.
    """

    def __init__(
        self, actions: ControlActions, log: Logger, lock: threading.RLock, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._actions = actions
        self._log = log
        self._lock = lock
        self._now_ns = now_ns
        self._run_config: RunConfig | None = None
        self._active: tuple[str, ...] = ()
        self._enabled: dict[str, bool] = {}
        self._offsets: dict[str, float] = {}
        self._paused_by_hand: set[str] = set()
        self._resumed_by_hand: set[str] = set()
        self._scheduled: dict[str, str | None] = {}
        self._adjusted: dict[str, tuple[ThresholdAdjustment, ...]] = {}
        self._muted: tuple[str, ...] | None = None  # None: not known to the journal yet
        self._checked_ns, self._next_ns = 0, 0
        self._digest_ns: int | None = None  # time of the next digest of a rule
        self._wake, self._closing = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="schedules", daemon=True)

    def start(self, run_config: RunConfig) -> None:
        """Apply what holds now, and start the thread."""
        self.configure(run_config)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSING_S)

    def configure(self, run_config: RunConfig) -> None:
        """Use another configuration; its thresholds and sources are adjusted again."""
        with self._lock:
            schedules = run_config.config.schedules
            self._run_config = run_config
            self._enabled = {
                name: on for name, on in self._enabled.items() if name in schedules and not schedules[name].locks
            }
            self._offsets = {name: offset for name, offset in self._offsets.items() if name in run_config.sources}
            self._scheduled = {name: by for name, by in self._scheduled.items() if name in run_config.sources}
            self._muted = None  # the journal may have dropped the line, and new rules read it
            self._evaluate(renew=True)
        self._wake.set()

    def set_listening(self, source: str, *, listen: bool) -> None:
        """Pause or resume a source for a person. Safe to call from every thread.

        Raises:
            LockedError: A locked schedule pauses the source.
        """
        with self._lock:
            by = self._scheduled.get(source)
            if listen and self._is_locked(by):
                raise LockedError(
                    Sentence(
                        "The schedule {schedule} pauses {source} and is locked; it is resumed when {schedule} ends.",
                        schedule=by,
                        source=source,
                    )
                )
            (self._paused_by_hand.discard if listen else self._paused_by_hand.add)(source)
            if listen and by is not None:
                self._resumed_by_hand.add(source)
            self._apply_listening(source, f"{source} is {'resumed' if listen else 'paused'}.", by)

    def set_offset(self, source: str, offset: float) -> None:
        """Add an offset to every threshold of a source; 0 for none. Safe to call from every thread."""
        with self._lock:
            if self._offsets.get(source, 0.0) == offset:
                return
            self._offsets[source] = offset
            self._log.info("threshold_offset_changed", source=source, offset=offset)
            self._evaluate()
            detail = f"The offset of the thresholds of {source} is {offset:+g}."
            self._append("changed", "threshold_offset", detail, source=source, offset=offset)

    def set_schedule(self, name: str, *, on: bool) -> None:
        """Enable or disable a schedule until the program ends. Safe to call from every thread.

        Raises:
            LockedError: The schedule is locked, and enabled in the file.
        """
        with self._lock:
            if self._run_config is None or self._is_enabled(name) is on:
                return
            if self._run_config.config.schedules[name].locks:
                raise LockedError(
                    Sentence("The schedule {schedule} is locked; only the file disables it.", schedule=name)
                )
            self._enabled[name] = on
            state: Literal["enabled", "disabled"] = "enabled" if on else "disabled"
            self._log.info("schedule_switched", schedule=name, state=state)
            self._append(state, "schedule", f"The schedule {name} is {state} until the program ends.", name)
            self._evaluate()

    def state(self) -> ControlState:
        """Return offsets and schedules in force."""
        with self._lock:
            run_config = self._run_config
            return ControlState(
                {} if run_config is None else {name: self._offsets.get(name, 0.0) for name in run_config.sources},
                {name: ScheduleState(self._is_enabled(name), name in self._active) for name in self._schedules},
            )

    @property
    def _schedules(self) -> Schedules:
        return {} if self._run_config is None else self._run_config.config.schedules

    def _is_enabled(self, name: str) -> bool:
        return self._enabled.get(name, self._schedules[name].enabled)

    def _is_locked(self, name: str | None) -> bool:
        return name is not None and name in self._schedules and self._schedules[name].then.pause == "locked"

    def _run(self) -> None:
        """Run the thread that follows the clock."""
        while not self._closing:
            wait_s: float | None = TICK_S
            try:
                wait_s = self._follow_clock()
            except Exception as error:  # noqa: BLE001  # the next turn tries again
                self._log.error("schedules_failed", error=str(error) or type(error).__name__)
            self._wake.wait(wait_s)
            self._wake.clear()

    def _follow_clock(self) -> float | None:
        """Evaluate schedules if one is due, and return the time to the next look; None without a configuration."""
        with self._lock:
            if self._run_config is None:
                return None
            if follow_system_zone():
                self._log.info("time_zone_changed", zone=time.strftime("%Z, %z"))
                self._evaluate()
            if not self._run_config.config.schedules and self._digest_ns is None:
                return ZONE_S
            now_ns = self._now_ns()
            if self._digest_ns is not None and now_ns >= self._digest_ns:
                self._append("due", "digest", "A digest of an alert rule is due.")
                self._digest_ns = next_digest(self._run_config.config, now_ns)
            if now_ns >= self._next_ns or now_ns < self._checked_ns:
                self._evaluate()
            self._checked_ns = now_ns
            next_ns = self._next_ns if self._digest_ns is None else min(self._next_ns, self._digest_ns)
            return min(TICK_S, max(0.0, (next_ns - now_ns) / 1e9))

    def _evaluate(self, *, renew: bool = False) -> None:
        """Apply what holds now; with `renew` also what has not changed. What fails is tried again at the next look."""
        if self._run_config is None:
            return
        config, sources, now_ns = self._run_config.config, self._run_config.sources, self._now_ns()
        active = active_schedules(config.schedules, self._enabled, config.place, now_ns)
        adjusted = threshold_adjustments(config.schedules, active, self._offsets, sources)
        if renew or adjusted != self._adjusted:
            self._actions.adjust(adjusted)
            self._adjusted = adjusted
        before, self._active = self._active, active
        for name, change in changed_schedules(config.schedules, before, active):
            self._report(name, change, applies_unset(config.schedules.get(name), now_ns))
        self._mute(muted_rules(config.schedules, active) if muting_schedules(config.schedules) else None)
        for source in sources:
            self._apply_pause(source, paused_by(config.schedules, active, source), renew=renew)
        self._checked_ns = now_ns
        self._digest_ns = next_digest(config, now_ns)
        self._next_ns = next_evaluation(config.schedules, config.place, now_ns) or now_ns + DAY_S * SECOND_NS

    def _apply_pause(self, source: str, by: str | None, *, renew: bool) -> None:
        """Pause or resume a source if another schedule than before pauses it, or none; with `renew` in any case."""
        if self._is_locked(by):
            self._resumed_by_hand.discard(source)
        if by != self._scheduled.get(source):
            self._resumed_by_hand.discard(source)
            self._apply_listening(source, pause_reason(self._schedules, by, source, self._now_ns()), by)
            self._scheduled[source] = by
        elif renew:
            self._apply_listening(source, f"{source} is paused as before.", by)

    def _mute(self, rules: tuple[str, ...] | None) -> None:
        """Write the muted rules to the journal, which the rules read; None where no schedule mutes a rule."""
        if rules is not None and rules != self._muted:
            self._log.info("rules_muted", rules=list(rules))
            state: Literal["muted", "unmuted"] = "muted" if rules else "unmuted"
            time_, node = format_utc(self._now_ns()), self._actions.node
            self._actions.append(
                MuteLine(seq=UNNUMBERED, time=time_, node=node, state=state, rules=rules, detail=mute_reason(rules))
            )
        self._muted = rules

    def _apply_listening(self, source: str, why: str, by: str | None) -> None:
        scheduled = by is not None and source not in self._resumed_by_hand
        listen = source not in self._paused_by_hand and not scheduled
        self._actions.set_listening(source, listen=listen, why=why)

    def _report(self, name: str, state: Literal["began", "ended"], unset: bool) -> None:
        self._log.info("schedule_changed", schedule=name, state=state)
        if unset and state == "began":
            self._log.warning("clock_not_set", schedule=name, time=format_utc(self._now_ns()))
        self._append(state, "schedule", change_reason(name, state, unset), name)

    def _append(
        self,
        state: Literal["began", "ended", "enabled", "disabled", "changed", "due"],
        reason: Literal["schedule", "threshold_offset", "digest"],
        detail: str,
        schedule: str | None = None,
        source: str | None = None,
        offset: float | None = None,
    ) -> None:
        self._actions.append(
            ControlLine(
                seq=UNNUMBERED,
                time=format_utc(self._now_ns()),
                node=self._actions.node,
                source=source,
                state=state,
                reason=reason,
                schedule=schedule,
                threshold_offset=offset,
                detail=detail,
            )
        )
