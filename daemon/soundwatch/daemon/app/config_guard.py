"""Values that a change by the API leaves in force, since a stolen token must not record other sound.

Rule: a change adds no source, and weakens no schedule that pauses with `locked`. Only the file does.
Does not: refuse single keys (`config/keys.py`).
"""

from __future__ import annotations

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import ConfigError


def check_guarded(before: Config, after: Config) -> None:
    """Refuse a configuration that records a source, or a time, which the present one does not.

    Raises:
        ConfigError: A source is added, or a locked schedule is changed.
    """
    added = next((name for name in after.sources if name not in before.sources), None)
    if added is not None:
        raise ConfigError(f"The source {added} would be added, which the page cannot do. Add it in the file.")
    moved = _place(before) != _place(after)
    for name, schedule in before.schedules.items():
        new = after.schedules.get(name)
        if not schedule.locks:
            continue
        if new is None or not new.locks or (new.when, new.sources) != (schedule.when, schedule.sources):
            raise ConfigError(f"The schedule {name} is locked, so the page cannot change it. Change it in the file.")
        if moved:
            raise ConfigError(
                f"place gives the times of the schedule {name}, which is locked, so the page cannot change it. Change "
                "it in the file."
            )


def _place(config: Config) -> tuple[object, ...]:
    return config.place.latitude, config.place.longitude, config.place.time_zone
