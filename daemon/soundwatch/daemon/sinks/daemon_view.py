"""View of the running daemon: what sinks, the page and the metrics may read of it.

Conventions: a reload replaces the configuration and the model, so both are functions; everything else lasts as long as
the daemon.
Does not: change the daemon, except for pausing a source, offsets of thresholds, schedules and the configuration file.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from soundwatch.daemon.config.change import ConfigEditor
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.detection.effective import SourceSettings
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks.protocols import RuleStatus, SinkStatus
from soundwatch.daemon.status.live import LiveFeed
from soundwatch.daemon.status.snapshot import StatusTracker
from soundwatch.daemon.system.job_control import JobControl


@dataclass(frozen=True, slots=True)
class ActiveModel:
    """The model in use.

    Attributes:
        contract: Contract of the model.
        provider: Execution provider.
        thresholds: Lowest threshold in force over the sources, for each class that one detects.
    """

    contract: ModelContract
    provider: str
    thresholds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """State of a schedule.

    Attributes:
        enabled: Whether the schedule has an effect in its windows.
        active: Whether the schedule has an effect now.
    """

    enabled: bool
    active: bool


@dataclass(frozen=True, slots=True)
class ControlState:
    """Changes by schedules and commands.

    Attributes:
        offsets: Offset of the thresholds of each source.
        schedules: State of each schedule.
    """

    offsets: Mapping[str, float] = field(default_factory=dict)
    schedules: Mapping[str, ScheduleState] = field(default_factory=dict)


class ListeningSwitch(Protocol):
    """Pauses and resumes sources."""

    def __call__(self, source: str, *, listen: bool) -> object:
        """Pause a source or resume it."""


class SourceController(Protocol):
    """Changes that sinks may make besides the state of a source (`app/control.py`)."""

    def set_offset(self, source: str, offset: float) -> None:
        """Add an offset to every threshold of a source."""

    def set_schedule(self, name: str, *, on: bool) -> None:
        """Enable or disable a schedule.

        Raises:
            LockedError: The schedule is locked.
        """

    def state(self) -> ControlState:
        """Return offsets and schedules in force."""


@dataclass(frozen=True, slots=True)
class DaemonView:
    """View of the daemon that sinks and the page share.

    Attributes:
        node: Name of this machine.
        log: Log of the daemon.
        journal: Journal that the lines come from.
        status: State of the sources, folded from the lines.
        live: Scores and level of the latest windows.
        config: Returns the configuration in force.
        model: Returns the model in use.
        set_listening: Pauses a source or resumes it, or raises LockedError.
        settings: Returns the settings in force of each source.
        control: Changes offsets of thresholds and schedules; None where nothing runs.
        sinks: Returns the status of each sink and the number of lines that it has yet to take.
        rules: Returns the status of each alert rule.
        uncalibrated: Returns the microphones without a calibration, by name, with the command that makes one.
        clip_pending: Returns True while the clip of an event is open or waits to be written.
        editor: Changes the configuration file; None where nothing runs.
        job: Job control of the process.
        started_unix_ns: Start time of the program.
        boot: Random text of this run of the program.
    """

    node: str
    log: Logger
    journal: Journal
    status: StatusTracker
    live: LiveFeed
    config: Callable[[], Config]
    model: Callable[[], ActiveModel]
    set_listening: ListeningSwitch
    settings: Callable[[], Mapping[str, SourceSettings]] = dict
    control: SourceController | None = None
    sinks: Callable[[], Sequence[tuple[SinkStatus, int]]] = tuple
    rules: Callable[[], Sequence[RuleStatus]] = tuple
    uncalibrated: Callable[[], Mapping[str, str]] = dict
    clip_pending: Callable[[str], bool] = lambda _: False
    editor: ConfigEditor | None = None
    job: JobControl = field(default_factory=JobControl)
    started_unix_ns: int = field(default_factory=time.time_ns)
    boot: str = field(default_factory=lambda: uuid.uuid4().hex)
