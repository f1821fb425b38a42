"""The control of two sources by schedules, at times that a test chooses."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from soundwatch.daemon.app.control import SourceControl
from soundwatch.daemon.app.control_actions import ControlActions
from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.detection.effective import ThresholdAdjustment
from soundwatch.daemon.events.health_schema import ControlLine, MuteLine
from soundwatch.daemon.events.schema import Line
from support.memory_logger import MemoryLogger

ZONE = ZoneInfo("Europe/Berlin")
HEAD = "sources: {office: {device: demo}, yard: {device: demo}}\n"
PAUSE = "office_hours: {when: [{from: 08:00, to: 18:00, days: [mon]}], sources: [office], then: {pause: true}}"
NIGHT = "night: {when: [{from: 22:00, to: 06:00}], then: {thresholds: {at_least: 0.9}}}"
LATE = "late: {when: [{from: 23:00, to: 01:00}], sources: [yard], then: {thresholds: {add: 0.05}}}"


def at(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp()) * 1_000_000_000


@dataclass(slots=True)
class Bench:
    """A control without its thread, and what it did."""

    config: Config
    now_ns: int
    listening: dict[str, bool] = field(default_factory=dict)
    adjusted: Mapping[str, tuple[ThresholdAdjustment, ...]] = field(default_factory=dict)
    lines: list[ControlLine] = field(default_factory=list)
    muted: list[tuple[str, ...]] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    log: MemoryLogger = field(default_factory=MemoryLogger)
    control: SourceControl = field(init=False)

    def __post_init__(self) -> None:
        self.listening = dict.fromkeys(self.config.sources, True)
        actions = ControlActions(self._set_listening, self._adjust, self._append, "edge1")
        self.control = SourceControl(actions, self.log, threading.RLock(), lambda: self.now_ns)
        self.control.configure(RunConfig(self.config, self.config.sources))

    def _set_listening(self, source: str, *, listen: bool, why: str) -> None:
        if self.listening[source] is not listen:
            self.listening[source] = listen
            self.why.append(why)

    def _adjust(self, adjustments: Mapping[str, tuple[ThresholdAdjustment, ...]]) -> None:
        self.adjusted = adjustments

    def _append(self, line: Line) -> None:
        if isinstance(line, MuteLine):
            self.muted.append(line.rules)
        else:
            assert isinstance(line, ControlLine)
            self.lines.append(line)

    def go_to(self, text: str) -> None:
        self.now_ns = at(text)
        self.control._follow_clock()

    def hears(self, source: str) -> bool:
        return self.listening[source]

    @property
    def said(self) -> list[tuple[str, str | None]]:
        return [(line.state, line.schedule) for line in self.lines]


def bench(
    tmp_path: Path, now: str, *schedules: str, rules: str = "{}", place: str = "{time_zone: Europe/Berlin}"
) -> Bench:
    path = tmp_path / "config.yaml"
    path.write_text(
        HEAD
        + f"place: {place}\nrules: {rules}\nschedules:{'' if schedules else ' {}'}\n"
        + "".join(f"  {schedule}\n" for schedule in schedules)
    )
    return Bench(load_config(path), at(now))
