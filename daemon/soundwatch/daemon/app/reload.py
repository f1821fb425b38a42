"""Difference of two configurations, and which differences a running daemon can apply.

Conventions: pure. Names of sources and texts of sinks are compared as written.
Does not: open or close anything (`app/daemon.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from soundwatch.daemon.capture.source_names import name_devices
from soundwatch.daemon.core.config import Config, SourceConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.sinks.kinds import is_page, parse_sink, sink_key
from soundwatch.daemon.sinks.spec import SinkConfig

RESTART_ONLY_KEYS = ("node", "level", "journal", "clips", "log")  # built into every part that runs


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Configuration and sources of one run.

    Attributes:
        config: Everything but the sources.
        sources: Sources by name.
        waiting: Names of sources that may be absent at start.
    """

    config: Config
    sources: dict[str, SourceConfig]
    waiting: Collection[str] = ()


def select_sources(config: Config, devices: Sequence[str]) -> dict[str, SourceConfig]:
    """Return the named sources, each a key of the configuration or a device; without any, all of the configuration."""
    return name_devices(devices, config.sources) if devices else config.sources


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """Difference between two configurations.

    Attributes:
        sources_removed: Names of removed sources; a changed source is removed and added.
        sources_added: Names of added sources.
        sinks_removed: Texts of removed sinks.
        sinks_added: Texts of added sinks.
        deciding: True if thresholds, rules or the model differ in the configuration.
        shadow: True if the shadow model or its share of windows differs.
    """

    sources_removed: tuple[str, ...]
    sources_added: tuple[str, ...]
    sinks_removed: tuple[SinkConfig, ...]
    sinks_added: tuple[SinkConfig, ...]
    deciding: bool
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
            *(["what decides is changed"] if self.deciding else []),
            *(["the shadow is changed"] if self.shadow else []),
        ]
        return "; ".join(parts) or "nothing is changed"


def diff_configs(before: RunConfig, after: RunConfig) -> ConfigDiff:
    """Compare two configurations.

    Raises:
        ConfigError: A difference needs a restart, or a sink text is invalid.
    """
    keys = [sink_key(text) for text in after.config.sinks]
    twice = next((text for text in after.config.sinks if keys.count(sink_key(text)) > 1), None)
    if twice is not None:
        raise ConfigError(f"The sink {parse_sink(twice).kind} is named twice; leave one of them out.")
    restart_only = [key for key in RESTART_ONLY_KEYS if getattr(before.config, key) != getattr(after.config, key)]
    old, new = dict.fromkeys(map(sink_key, before.config.sinks)), dict.fromkeys(map(sink_key, after.config.sinks))
    removed, added = [word for word in old if word not in new], [word for word in new if word not in old]
    written = {sink_key(text): text for text in (*before.config.sinks, *after.config.sinks)}
    if any(is_page(written[word]) for word in (*removed, *added)):
        restart_only.append("the page (http)")
    if restart_only:
        raise ConfigError(f"{', '.join(restart_only)} cannot be changed while the program runs; restart it for that.")
    if not after.sources:
        raise ConfigError("There is no source left to listen to; name one in `sources`.")
    other = {name for name in before.sources if before.sources[name] != after.sources.get(name)}
    deciding = ("model", "detection", "stats_s")
    return ConfigDiff(
        sources_removed=tuple(name for name in before.sources if name in other),
        sources_added=tuple(name for name in after.sources if name in other or name not in before.sources),
        sinks_removed=tuple(written[word] for word in removed),
        sinks_added=tuple(written[word] for word in added),
        deciding=any(getattr(before.config, key) != getattr(after.config, key) for key in deciding),
        shadow=before.config.shadow != after.config.shadow,
    )
