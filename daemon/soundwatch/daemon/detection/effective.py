"""Settings of each source with their origin: the one place that resolves layers of configuration.

Conventions: the first layer that gives a value decides. For a threshold: a class of the source, the calibration of the
source, the source, a class of `detection`, its calibration, `detection`, the model. Other values have the same order
without calibrations. The default of `min_duration_s` is at most `max_duration_s`. Adjustments, as of a schedule, change
a threshold afterwards, one after the other.
Does not: read a file (`rules.py`), or build rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from soundwatch.daemon.config.config import ClipsConfig, Config, DetectionConfig
from soundwatch.daemon.config.level import LoudConfig, SilenceConfig
from soundwatch.daemon.config.source import ClassConfig, SourceClipsConfig, SourceConfig, SourceDetectionConfig
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.detection.calibration import Calibration

NEVER: Final = 2.0  # scores end at 1
LOWEST: Final = 0.01
DEFAULT: Final = "default"

Value = TypeVar("Value")
Candidate = tuple[Value | None, str]


@dataclass(frozen=True, slots=True)
class Setting(Generic[Value]):
    """A value in force.

    Attributes:
        value: The value.
        origin: The key, the file, the schedule or the model that gave the value; `default` for a key that is not set.
    """

    value: Value
    origin: str


@dataclass(frozen=True, slots=True)
class ThresholdAdjustment:
    """A change of thresholds for a time.

    Attributes:
        origin: Cause of the change, such as `schedule night`.
        at_least: Lowest threshold; None for no bound.
        add: Difference of thresholds.
        classes: Classes that are changed; empty for all.
    """

    origin: str
    at_least: float | None = None
    add: float = 0.0
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassSettings:
    """Settings of one class of one source; `detection/decide.py` describes them."""

    label: str
    enabled: Setting[bool]
    threshold: Setting[float]
    confirm_windows: Setting[float]
    release_ratio: Setting[float]
    min_duration_s: Setting[float]
    max_duration_s: Setting[float]
    cooldown_s: Setting[float]

    @property
    def is_detected(self) -> bool:
        """Return True if events of the class are possible."""
        return self.enabled.value and self.threshold.value < NEVER


@dataclass(frozen=True, slots=True)
class ClipSettings:
    """Settings of a source's clips; `config/config.py` describes them."""

    enabled: Setting[bool]
    classes: Setting[tuple[str, ...] | None]
    pre_roll_s: Setting[float]
    post_roll_s: Setting[float]
    max_s: Setting[float]
    speech_guard: Setting[bool]

    def gives_clip(self, label: str) -> bool:
        """Return True if events of a class give clips."""
        return self.enabled.value and (self.classes.value is None or label in self.classes.value)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """All settings of one source.

    Attributes:
        source: Name of the source.
        gain_db: Gain before the front end.
        high_pass_hz: Corner frequency of the high-pass; None for none.
        update_s: Seconds between two `update` events.
        loud: Limits of the events `loud`; None for none.
        silence: Limits of the events `silence`; None for none.
        clips: Settings of clips.
        classes: Settings of each class, in the order of the model's labels.
    """

    source: str
    gain_db: Setting[float]
    high_pass_hz: Setting[float | None]
    update_s: Setting[float]
    loud: Setting[LoudConfig | None]
    silence: Setting[SilenceConfig | None]
    clips: ClipSettings
    classes: tuple[ClassSettings, ...]


def resolve_source(
    config: Config,
    source: str,
    contract: ModelContract,
    calibrations: Mapping[str, Calibration],
) -> SourceSettings:
    """Resolve the settings of one source.

    Args:
        config: The configuration.
        source: Name of the source; a name that is not configured has the common settings.
        contract: Contract of the model.
        calibrations: Calibrations by path.
    """
    own, key = config.sources.get(source, SourceConfig()), f"sources.{source}"
    return SourceSettings(
        source=source,
        gain_db=_set(own.gain_db, SourceConfig().gain_db, f"{key}.gain_db"),
        high_pass_hz=_set(own.high_pass_hz, SourceConfig().high_pass_hz, f"{key}.high_pass_hz"),
        update_s=_first("update_s", [(own.detection, f"{key}.detection")], config.detection),
        loud=_limit(config, source, "loud"),
        silence=_limit(config, source, "silence"),
        clips=resolve_clips(config, source),
        classes=tuple(
            _resolve_class(label, contract, config.detection, own.detection, f"{key}.detection", calibrations)
            for label in contract.labels
        ),
    )


def adjust_thresholds(settings: SourceSettings, adjustments: Sequence[ThresholdAdjustment]) -> SourceSettings:
    """Return settings with changed thresholds."""
    classes = tuple(
        replace(of_class, threshold=_adjusted(of_class.threshold, of_class.label, adjustments))
        for of_class in settings.classes
    )
    return replace(settings, classes=classes)


def calibration_paths(detection: DetectionConfig, sources: Mapping[str, SourceConfig]) -> list[str]:
    """List the calibrations that a configuration names, each once."""
    named = [detection.calibration, *(source.detection.calibration for source in sources.values())]
    return list(dict.fromkeys(path for path in named if isinstance(path, str)))


def _resolve_class(
    label: str,
    contract: ModelContract,
    detection: DetectionConfig,
    own: SourceDetectionConfig,
    key: str,
    calibrations: Mapping[str, Calibration],
) -> ClassSettings:
    own_class, common_class = own.classes.get(label, ClassConfig()), detection.classes.get(label, ClassConfig())
    own_key, common_key = f"{key}.classes.{label}", f"detection.classes.{label}"
    layers = [(own_class, own_key), (own, key), (common_class, common_key)]
    threshold = _pick(
        [
            (own_class.threshold, f"{own_key}.threshold"),
            _calibrated(own.calibration, label, calibrations),
            (own.threshold, f"{key}.threshold"),
            (common_class.threshold, f"{common_key}.threshold"),
            _calibrated(None if own.calibration is False else detection.calibration, label, calibrations),
            (detection.threshold, "detection.threshold"),
        ],
        Setting(contract.thresholds[label], f"model {contract.identity}"),
    )
    enabled = _pick(
        [(own_class.enabled, f"{own_key}.enabled"), (common_class.enabled, f"{common_key}.enabled")],
        Setting(True, DEFAULT),
    )
    min_duration_s, max_duration_s = (_first(name, layers, detection) for name in ("min_duration_s", "max_duration_s"))
    if min_duration_s.origin == DEFAULT:
        min_duration_s = min(min_duration_s, max_duration_s, key=lambda duration: duration.value)
    return ClassSettings(
        label=label,
        enabled=enabled,
        threshold=threshold,
        confirm_windows=_first("confirm_windows", layers, detection),
        release_ratio=_first("release_ratio", layers, detection),
        min_duration_s=min_duration_s,
        max_duration_s=max_duration_s,
        cooldown_s=_first("cooldown_s", layers, detection),
    )


def _calibrated(path: str | bool | None, label: str, calibrations: Mapping[str, Calibration]) -> Candidate[float]:
    """Return the threshold of a calibration; none for a class that it does not hold, as a tag that became a class."""
    if not isinstance(path, str) or label not in calibrations[path].classes:
        return None, ""
    return calibrations[path].classes[label].threshold or NEVER, f"calibration {path}"


def _adjusted(threshold: Setting[float], label: str, adjustments: Iterable[ThresholdAdjustment]) -> Setting[float]:
    for adjustment in adjustments:
        if threshold.value >= NEVER or (adjustment.classes and label not in adjustment.classes):
            continue
        value = max(threshold.value + adjustment.add, adjustment.at_least or 0.0)
        value = round(min(max(value, LOWEST), 1.0), 6)
        if value != threshold.value:
            before = f"{threshold.value:g} by {threshold.origin}"
            threshold = Setting(value, f"{adjustment.origin}, {before}")
    return threshold


def resolve_clips(config: Config, source: str) -> ClipSettings:
    """Resolve the settings of one source's clips; a name that is not configured has the common settings."""
    common, own, key = config.clips, config.sources.get(source, SourceConfig()), f"sources.{source}"
    overrides = own.clips if isinstance(own.clips, SourceClipsConfig) else SourceClipsConfig()
    layers = [(overrides, f"{key}.clips")]
    guard = _set(common.speech_guard is not False, True, "clips.speech_guard")
    return ClipSettings(
        enabled=Setting(False, f"{key}.clips")
        if own.clips is False
        else _set(common.folder is not None, False, "clips.folder"),
        classes=_set(overrides.classes, None, f"{key}.clips.classes"),
        pre_roll_s=_first("pre_roll_s", layers, common, "clips"),
        post_roll_s=_first("post_roll_s", layers, common, "clips"),
        max_s=_first("max_s", layers, common, "clips"),
        speech_guard=_pick([(overrides.speech_guard, f"{key}.clips.speech_guard")], guard),
    )


def _limit(config: Config, source: str, name: str) -> Setting[Any]:
    """Resolve `loud` or `silence` of one source."""
    own = getattr(config.sources.get(source, SourceConfig()), name)
    common = _set(getattr(config.level, name), None, f"level.{name}")
    return common if own is None else Setting(own or None, f"sources.{source}.{name}")


def _first(
    name: str, layers: Iterable[tuple[object, str]], common: DetectionConfig | ClipsConfig, at: str = "detection"
) -> Setting[float]:
    """Return the first value of a key in layers that may lack it, or the common one."""
    candidates: list[Candidate[float]] = [(getattr(layer, name, None), f"{key}.{name}") for layer, key in layers]
    return _pick(candidates, _set(getattr(common, name), getattr(type(common)(), name), f"{at}.{name}"))


def _pick(candidates: Iterable[Candidate[Value]], otherwise: Setting[Value]) -> Setting[Value]:
    return next((Setting(value, origin) for value, origin in candidates if value is not None), otherwise)


def _set(value: Value, default: Value, key: str) -> Setting[Value]:
    """Return a value with its key as origin, or `default` as origin if the value is the default."""
    return Setting(value, DEFAULT if value == default else key)
