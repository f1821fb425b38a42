"""Detection rules of each source from a model, calibrations and a configuration, in samples.

Conventions: lengths are rounded to whole samples. A class that is not enabled, or without a threshold in the
calibration, gets a threshold and a release that no score reaches, so that a running event ends.
Does not: choose between layers of configuration (`effective.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from soundwatch.daemon.config.config import Config, DetectionConfig
from soundwatch.daemon.config.file import check_against_contract
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.detection.calibration import Calibration, load_calibration
from soundwatch.daemon.detection.decide import DetectionRule
from soundwatch.daemon.detection.effective import (
    DEFAULT,
    NEVER,
    ClassSettings,
    Setting,
    SourceSettings,
    ThresholdAdjustment,
    adjust_thresholds,
    calibration_paths,
    resolve_source,
)

COMMON: Final = ""  # no source has an empty name

Adjustments = Mapping[str, Sequence[ThresholdAdjustment]]


@dataclass(frozen=True, slots=True)
class SourceRules:
    """Settings of a source for the engine.

    Attributes:
        settings: The settings with their origin.
        rules: One rule per label.
        thresholds: Threshold of each class that is detected.
    """

    settings: SourceSettings
    rules: tuple[DetectionRule, ...]
    thresholds: dict[str, float]


def build_rules(detection: DetectionConfig, contract: ModelContract) -> tuple[DetectionRule, ...]:
    """Build one rule per label without a calibration or a source's own settings, in the order of the labels."""
    common = Config(detection=msgspec.structs.replace(detection, calibration=None))
    return _source_rules(resolve_source(common, COMMON, contract, {}), contract).rules


def thresholds_in_force(rules: tuple[DetectionRule, ...], labels: tuple[str, ...]) -> dict[str, float]:
    """Return the threshold of each enabled class."""
    return {label: rule.threshold for label, rule in zip(labels, rules, strict=True) if rule.threshold < NEVER}


def resolve_sources(config: Config, contract: ModelContract) -> dict[str, SourceRules]:
    """Build the rules of each source, and of sources that are not configured by the name `COMMON`.

    Args:
        config: The configuration.
        contract: Contract of the model.

    Raises:
        ConfigError: Model, calibration and configuration contradict each other.
    """
    check_against_contract(config, contract)
    calibrations = load_calibrations(config, contract)
    return {
        name: _source_rules(resolve_source(config, name, contract, calibrations), contract)
        for name in (COMMON, *config.sources)
    }


def adjust_sources(
    base: Mapping[str, SourceRules], adjustments: Adjustments, names: Iterable[str], contract: ModelContract
) -> dict[str, SourceRules]:
    """Return the rules of sources with changed thresholds.

    Args:
        base: Rules by source without changes, as `resolve_sources` returns them.
        adjustments: Changes of thresholds by source.
        names: Names of the running sources, which need not be configured.
        contract: Contract of the model.
    """
    found = dict(base)
    for name in names:
        changes, own = adjustments.get(name, ()), base.get(name, base[COMMON])
        if changes:
            found[name] = _source_rules(adjust_thresholds(own.settings, changes), contract)
    return found


def check_detectable(sources: Mapping[str, SourceRules]) -> None:
    """Refuse rules by which a source detects no class, or by which an event would end before it may.

    Args:
        sources: Rules by source, as `resolve_sources` returns them.

    Raises:
        ConfigError: A source detects no class, or the shortest duration of an event is above the longest.
    """
    for name, own in sources.items():
        if not own.thresholds:
            key = f"sources.{name}.detection" if name else "detection.classes"
            raise ConfigError(f"{key} enables no class, so nothing can be detected; enable at least one.")
        for of_class in own.settings.classes:
            least, most = of_class.min_duration_s, of_class.max_duration_s
            if of_class.is_detected and least.value > most.value:
                raise ConfigError(
                    f"{_duration('min_duration_s', least)} is above {_duration('max_duration_s', most)}. Lower the "
                    "first, or raise the second."
                )


def _duration(key: str, setting: Setting[float]) -> str:
    """Return a duration with the key that gave the value."""
    return f"{f'the default of {key}' if setting.origin == DEFAULT else setting.origin} ({setting.value:g} s)"


def load_calibrations(config: Config, contract: ModelContract) -> dict[str, Calibration]:
    """Read the calibrations that a configuration names.

    Raises:
        ConfigError: A file cannot be used, or was made with another model.
    """
    paths = calibration_paths(config.detection, config.sources)
    return {path: load_calibration(Path(path), contract) for path in paths}


def _source_rules(settings: SourceSettings, contract: ModelContract) -> SourceRules:
    rules = tuple(_rule(of_class, settings.update_s.value, contract) for of_class in settings.classes)
    return SourceRules(settings, rules, thresholds_in_force(rules, contract.labels))


def _rule(settings: ClassSettings, update_s: float, contract: ModelContract) -> DetectionRule:
    spec = contract.features

    def samples(seconds: float) -> int:
        return round(seconds * spec.rate_hz)

    threshold = settings.threshold.value if settings.enabled.value else NEVER
    return DetectionRule(
        threshold=threshold,
        release=threshold * settings.release_ratio.value,
        confirm_samples=round(settings.confirm_windows.value * spec.window_samples),
        min_duration_samples=samples(settings.min_duration_s.value),
        max_duration_samples=samples(settings.max_duration_s.value),
        cooldown_samples=samples(settings.cooldown_s.value),
        update_samples=samples(update_s),
    )
