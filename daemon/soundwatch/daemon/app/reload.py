"""What of a new configuration can be taken up while the program runs, and what that comes to.

Conventions: pure. Names of sources and words of sinks are compared as they are written.
Does not: open or close anything (`app/daemon.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from soundwatch.daemon.core.config import Config, SourceConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.sinks.context import SinkConfig
from soundwatch.daemon.sinks.kinds import is_page, parse_sink, sink_key

RESTART_ONLY_KEYS = ("node", "journal", "clips", "log")  # what is built into everything that runs


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What a program is to do.

    Attributes:
        config: Everything but the sources.
        sources: What to listen to, by name.
        waiting: Which of them are waited for where their microphone is not there yet.
    """

    config: Config
    sources: dict[str, SourceConfig]
    waiting: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """What is other than before.

    Attributes:
        sources_gone: By name; one that is changed is gone and new.
        sources_new: By name.
        sinks_gone: As they are written.
        sinks_new: The same.
        deciding: Whether thresholds, rules or the model are other ones, as far as the configuration tells.
        shadow: Whether another model is to run beside it, or on another share of windows.
    """

    sources_gone: tuple[str, ...]
    sources_new: tuple[str, ...]
    sinks_gone: tuple[SinkConfig, ...]
    sinks_new: tuple[SinkConfig, ...]
    deciding: bool
    shadow: bool

    @property
    def text(self) -> str:
        """The same for people, without what an address may hide."""
        parts = [
            *(f"source {name} is gone" for name in self.sources_gone if name not in self.sources_new),
            *(f"source {name} is changed" for name in self.sources_gone if name in self.sources_new),
            *(f"source {name} is new" for name in self.sources_new if name not in self.sources_gone),
            *(f"sink {parse_sink(text).kind} is gone" for text in self.sinks_gone),
            *(f"sink {parse_sink(text).kind} is new" for text in self.sinks_new),
            *(["what decides is changed"] if self.deciding else []),
            *(["the shadow is changed"] if self.shadow else []),
        ]
        return "; ".join(parts) or "nothing is changed"


def diff_configs(before: RunConfig, after: RunConfig) -> ConfigDiff:
    """What is other, if all of it can be taken up.

    Raises:
        ConfigError: Something of it takes a new start, or a sink is none.
    """
    words = [sink_key(text) for text in after.config.sinks]
    twice = next((text for text in after.config.sinks if words.count(sink_key(text)) > 1), None)
    if twice is not None:
        raise ConfigError(f"The sink {parse_sink(twice).kind} is named twice in the same words; leave one of them out.")
    standing = [key for key in RESTART_ONLY_KEYS if getattr(before.config, key) != getattr(after.config, key)]
    old, new = dict.fromkeys(map(sink_key, before.config.sinks)), dict.fromkeys(map(sink_key, after.config.sinks))
    gone, come = [word for word in old if word not in new], [word for word in new if word not in old]
    written = {sink_key(text): text for text in (*before.config.sinks, *after.config.sinks)}
    if any(is_page(written[word]) for word in (*gone, *come)):
        standing.append("the page (http)")
    if standing:
        raise ConfigError(f"{', '.join(standing)} cannot be changed while the program runs; start it again for that.")
    if not after.sources:
        raise ConfigError("There is no source left to listen to; name one in `sources`.")
    other = {name for name in before.sources if before.sources[name] != after.sources.get(name)}
    deciding = ("model", "detection", "stats_s")
    return ConfigDiff(
        sources_gone=tuple(name for name in before.sources if name in other),
        sources_new=tuple(name for name in after.sources if name in other or name not in before.sources),
        sinks_gone=tuple(written[word] for word in gone),
        sinks_new=tuple(written[word] for word in come),
        deciding=any(getattr(before.config, key) != getattr(after.config, key) for key in deciding),
        shadow=before.config.shadow != after.config.shadow,
    )
