"""Difference of two configurations, and which differences a running daemon can apply.

Conventions: pure. Names of sources and texts of sinks are compared as written.
Does not: open or close anything (`app/daemon.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from soundwatch.daemon.capture.source_names import name_devices
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.source import SourceClipsConfig, SourceConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.sinks.kinds import is_page, parse_sink, sink_key
from soundwatch.daemon.sinks.spec import SinkConfig

RESTART_ONLY_KEYS: Final = ("node", "level", "journal", "clips", "log")  # built into every part that runs
STANDARD_INPUT: Final = "-"


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Configuration and sources of one run.

    Attributes:
        config: Everything but the sources.
        sources: Sources by name.
        waiting: Names of sources that may be absent at start: those of the configuration.
        path: The configuration file; None for none.
    """

    config: Config
    sources: dict[str, SourceConfig]
    waiting: Collection[str] = ()
    path: Path | None = None


def select_sources(config: Config, devices: Sequence[str]) -> dict[str, SourceConfig]:
    """Return the named sources, each a key of the configuration or a device; without any, all of the configuration.

    Raises:
        ConfigError: Two of them read standard input.
    """
    sources = name_devices(devices, config.sources) if devices else config.sources
    check_standard_input(sources)
    return sources


def check_standard_input(sources: Mapping[str, SourceConfig]) -> None:
    """Refuse two sources that would each read a part of standard input.

    Raises:
        ConfigError: Two sources read standard input.
    """
    readers = [name for name, source in sources.items() if source.device == STANDARD_INPUT]
    if len(readers) > 1:
        raise ConfigError(
            f"The sources {' and '.join(readers)} read standard input, and only one can. Remove the others."
        )


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """Difference between two configurations.

    Attributes:
        sources_removed: Names of removed sources; a changed source is removed and added.
        sources_added: Names of added sources.
        sinks_removed: Texts of removed sinks.
        sinks_added: Texts of added sinks.
        settings_changed: Names of sources that go on with other settings.
        deciding: True if thresholds, rules or the model differ in the configuration.
        rules: True if alert rules, or the place that their windows of time depend on, differ.
        shadow: True if the shadow model or its share of windows differs.
    """

    sources_removed: tuple[str, ...]
    sources_added: tuple[str, ...]
    sinks_removed: tuple[SinkConfig, ...]
    sinks_added: tuple[SinkConfig, ...]
    settings_changed: tuple[str, ...]
    deciding: bool
    rules: bool
    shadow: bool

    @property
    def text(self) -> str:
        """Return the difference as text for people, without addresses."""
        parts = [
            *(f"source {name} is gone" for name in self.sources_removed if name not in self.sources_added),
            *(f"source {name} is changed" for name in self.sources_removed if name in self.sources_added),
            *(f"source {name} is new" for name in self.sources_added if name not in self.sources_removed),
            *(f"sink {parse_sink(text).kind} is gone" for text in self.sinks_removed),
            *(f"sink {parse_sink(text).kind} is new" for text in self.sinks_added),
            *(f"settings of source {name} are changed" for name in self.settings_changed),
            *(["what decides is changed"] if self.deciding else []),
            *(["the alert rules are changed"] if self.rules else []),
            *(["the shadow is changed"] if self.shadow else []),
        ]
        return "; ".join(parts) or "nothing is changed"


def diff_configs(before: RunConfig, after: RunConfig) -> ConfigDiff:
    """Compare two configurations.

    Raises:
        ConfigError: A difference needs a restart, or a sink text is invalid.
    """
    _check_reloadable(before, after)
    old, new = ({sink_key(text): text for text in run.config.sinks} for run in (before, after))
    other = {name for name, source in before.sources.items() if not _has_sound_of(source, after.sources.get(name))}
    deciding = ("model", "detection", "stats_s", "place", "schedules")
    settings = [name for name in before.sources if name not in other and before.sources[name] != after.sources[name]]
    return ConfigDiff(
        sources_removed=tuple(name for name in before.sources if name in other),
        sources_added=tuple(name for name in after.sources if name in other or name not in before.sources),
        sinks_removed=tuple(text for key, text in old.items() if key not in new),
        sinks_added=tuple(text for key, text in new.items() if key not in old),
        settings_changed=tuple(settings),
        deciding=any(getattr(before.config, key) != getattr(after.config, key) for key in deciding),
        rules=(before.config.rules, before.config.place) != (after.config.rules, after.config.place),
        shadow=before.config.shadow != after.config.shadow,
    )


def _check_reloadable(before: RunConfig, after: RunConfig) -> None:
    """Refuse a configuration that cannot replace another one while the program runs."""
    keys = [sink_key(text) for text in after.config.sinks]
    twice = next((text for text in after.config.sinks if keys.count(sink_key(text)) > 1), None)
    if twice is not None:
        raise ConfigError(f"The sink {parse_sink(twice).kind} is named twice; leave one of them out.")
    restart_only = restart_keys(before.config, after.config)
    if restart_only:
        raise ConfigError(f"{', '.join(restart_only)} cannot be changed while the program runs; restart it for that.")
    if not after.sources:
        raise ConfigError("There is no source left to listen to; name one in `sources`.")


def restart_keys(before: Config, after: Config) -> list[str]:
    """Name the keys that differ and that a running program cannot change."""
    found = [key for key in RESTART_ONLY_KEYS if getattr(before, key) != getattr(after, key)]
    pages = [{sink_key(text) for text in config.sinks if is_page(text)} for config in (before, after)]
    if pages[0] != pages[1]:
        found.append("the page (http)")
    if needs_speech_guard(before) != needs_speech_guard(after) and "clips" not in found:
        found.append("clips.speech_guard of a source")
    if before.level_classes != after.level_classes and "level" not in found:
        found.append("the classes loud and silence")
    return found


def keep_restart_values(before: Config, after: Config) -> Config:
    """Return a configuration with the former values of all keys that a running program cannot change."""
    replace = msgspec.structs.replace
    pages = [text for text in before.sinks if is_page(text)]
    sinks = tuple(after.sinks)
    if {sink_key(text) for text in pages} != {sink_key(text) for text in sinks if is_page(text)}:
        sinks = (*(text for text in sinks if not is_page(text)), *pages)
    former = {key: getattr(before, key) for key in RESTART_ONLY_KEYS}
    sources = after.sources
    if before.level_classes != after.level_classes:
        own = {name: before.sources.get(name, SourceConfig()) for name in sources}
        sources = {
            name: replace(source, loud=own[name].loud, silence=own[name].silence) for name, source in sources.items()
        }
    return replace(
        after, **former, sources=sources, sinks=sinks, detection=replace(after.detection, tags=before.detection.tags)
    )


def _has_sound_of(before: SourceConfig, after: SourceConfig | None) -> bool:
    """Return True if two configurations of a source give one sound and one level."""
    keys = ("device", "channels", "pcm", "certificate", "level_offset_db")
    return after is not None and all(getattr(before, key) == getattr(after, key) for key in keys)


def needs_speech_guard(config: Config) -> bool:
    """Return True if clips of a source are checked for speech."""
    own = [source.clips for source in config.sources.values()]
    return config.clips.speech_guard is not False or any(
        isinstance(clips, SourceClipsConfig) and clips.speech_guard for clips in own
    )
