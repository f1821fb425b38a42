"""Rules in force, with what of the configuration they depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.config.rules import RuleConfig
from soundwatch.daemon.detection.effective import ClipSettings, resolve_clips
from soundwatch.daemon.detection.rules import COMMON
from soundwatch.daemon.rules.facts import LineFacts


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules in force.

    Attributes:
        rules: Enabled rules by name.
        place: Place of the machine, for windows of time.
        clips: Settings of clips by source; `COMMON` is one of them. Without any, every event may have a clip.
        mutable: Names of the rules that a schedule of the configuration mutes.
    """

    rules: Mapping[str, RuleConfig]
    place: PlaceConfig = field(default_factory=PlaceConfig)
    clips: Mapping[str, ClipSettings] = field(default_factory=dict)
    mutable: frozenset[str] = frozenset()

    def gives_clip(self, facts: LineFacts) -> bool:
        """Return True if the event of a line may have a clip."""
        settings = self.clips.get(facts.source or COMMON, self.clips.get(COMMON))
        return settings is None or settings.gives_clip(facts.class_ or "")


def rules_of(config: Config, rules: Mapping[str, RuleConfig]) -> RuleSet:
    """Return some rules of a configuration, with what they depend on."""
    clips = {source: resolve_clips(config, source) for source in (COMMON, *config.sources)}
    mutable = frozenset(name for schedule in config.schedules.values() for name in schedule.then.mute_rules)
    return RuleSet(rules, config.place, clips, mutable)
