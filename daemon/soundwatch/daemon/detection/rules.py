"""Detection rules from a model, a calibration and a configuration, in samples.

Conventions: a class's own key takes precedence over the calibration, the calibration over `detection`, and `detection`
over the model's threshold. Lengths are rounded to whole samples. A class that is not enabled, or without a threshold
in the calibration, gets a threshold that no score reaches.
"""

from __future__ import annotations

from pathlib import Path

from soundwatch.daemon.core.config import ClassConfig, Config, DetectionConfig
from soundwatch.daemon.core.config_file import check_against_contract
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.detection.calibration import Calibration, load_calibration
from soundwatch.daemon.detection.decide import DetectionRule

_NEVER = 2.0  # scores end at 1


def build_rules(
    detection: DetectionConfig, contract: ModelContract, calibration: Calibration | None = None
) -> tuple[DetectionRule, ...]:
    """Build one rule per label, in the order of the labels."""
    return tuple(_rule(label, detection, contract, calibration) for label in contract.labels)


def thresholds_in_force(rules: tuple[DetectionRule, ...], labels: tuple[str, ...]) -> dict[str, float]:
    """Return the threshold of each enabled class."""
    return {label: rule.threshold for label, rule in zip(labels, rules, strict=True) if rule.threshold < _NEVER}


def _rule(
    label: str, detection: DetectionConfig, contract: ModelContract, calibration: Calibration | None
) -> DetectionRule:
    own = detection.classes.get(label, ClassConfig())
    spec = contract.features

    def samples(seconds: float) -> int:
        return round(seconds * spec.rate_hz)

    common = detection.threshold or contract.thresholds[label]
    if calibration is not None:
        calibrated = calibration.classes.get(label)  # a tag may have become a class since
        common = common if calibrated is None else calibrated.threshold or _NEVER
    threshold = own.threshold or common
    confirm_windows = own.confirm_windows or detection.confirm_windows
    return DetectionRule(
        threshold=threshold if own.enabled else _NEVER,
        release=threshold * (own.release_ratio or detection.release_ratio),
        confirm_samples=round(confirm_windows * spec.window_samples),
        min_duration_samples=samples(_first(own.min_duration_s, detection.min_duration_s)),
        max_duration_samples=samples(_first(own.max_duration_s, detection.max_duration_s)),
        cooldown_samples=samples(_first(own.cooldown_s, detection.cooldown_s)),
        update_samples=samples(detection.update_s),
    )


def _first(own: float | None, common: float) -> float:
    return common if own is None else own


def resolve_rules(config: Config, contract: ModelContract) -> tuple[DetectionRule, ...]:
    """Build the rules of a configuration for a model, with the configured calibration.

    Raises:
        ConfigError: Model, calibration and configuration contradict each other.
    """
    check_against_contract(config, contract)
    path = config.detection.calibration
    return build_rules(config.detection, contract, load_calibration(Path(path), contract) if path else None)
