"""Settings in force of each source, and the schedules, for the API."""

from __future__ import annotations

import msgspec

from soundwatch.daemon.detection.setting_rows import SettingRow, setting_rows
from soundwatch.daemon.sinks.daemon_view import DaemonView


class SourceSettingsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Settings in force of a source, each with its origin."""

    name: str
    threshold_offset: float
    settings: tuple[SettingRow, ...]


class ScheduleResponse(msgspec.Struct, frozen=True, kw_only=True):
    """State of a schedule: whether it is enabled, and whether it has an effect now."""

    name: str
    enabled: bool
    active: bool


class SettingsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Settings in force of all sources, and all schedules."""

    sources: tuple[SourceSettingsResponse, ...]
    schedules: tuple[ScheduleResponse, ...]


def settings_in_force(view: DaemonView) -> SettingsResponse:
    """Return the settings in force of all sources, and all schedules."""
    control = None if view.control is None else view.control.state()
    return SettingsResponse(
        sources=tuple(
            SourceSettingsResponse(
                name=name,
                threshold_offset=0.0 if control is None else control.offsets.get(name, 0.0),
                settings=tuple(setting_rows(settings)),
            )
            for name, settings in view.settings().items()
        ),
        schedules=()
        if control is None
        else tuple(
            ScheduleResponse(name=name, enabled=state.enabled, active=state.active)
            for name, state in control.schedules.items()
        ),
    )
