"""Settings of a source by layer, and the origin of each value."""

from __future__ import annotations

from dataclasses import fields

import msgspec
import pytest

from soundwatch.daemon.config.config import ClipsConfig, Config, DetectionConfig
from soundwatch.daemon.config.file import check_against_contract
from soundwatch.daemon.config.level import LevelConfig, LoudConfig, SilenceConfig
from soundwatch.daemon.config.source import ClassConfig, SourceClipsConfig, SourceConfig, SourceDetectionConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.detection.calibration import Calibration, ClassCalibration
from soundwatch.daemon.detection.decide import DetectionRule
from soundwatch.daemon.detection.effective import (
    Setting,
    SourceSettings,
    ThresholdAdjustment,
    adjust_thresholds,
    resolve_source,
)
from soundwatch.daemon.detection.rules import COMMON, build_rules, check_detectable, resolve_sources
from soundwatch.daemon.detection.setting_rows import setting_rows
from support.fakes import SMALL_CONTRACT


def calibration(**thresholds: float | None) -> Calibration:
    classes = {
        label: ClassCalibration(threshold=value, false_events=0, rate_upper_per_h=3.0, highest_score=0.1)
        for label, value in thresholds.items()
    }
    return Calibration(model=SMALL_CONTRACT.identity, background_h=1.0, target_per_h=1.0, classes=classes)


CALIBRATIONS = {"common.json": calibration(low=0.6), "own.json": calibration(low=0.7, high=None)}


def resolve(config: Config, *adjustments: ThresholdAdjustment, source: str = "mic0") -> SourceSettings:
    return adjust_thresholds(resolve_source(config, source, SMALL_CONTRACT, CALIBRATIONS), adjustments)


def low(settings: SourceSettings) -> tuple[float, str]:
    return settings.classes[0].threshold.value, settings.classes[0].threshold.origin


def test_each_layer_takes_precedence_over_those_below_and_is_named() -> None:
    own, common = SourceDetectionConfig(), DetectionConfig()
    seen = []
    for change in (
        {"common": {"threshold": 0.1}},
        {"common": {"calibration": "common.json"}},
        {"common": {"classes": {"low": ClassConfig(threshold=0.2)}}},
        {"own": {"threshold": 0.3}},
        {"own": {"calibration": "own.json"}},
        {"own": {"classes": {"low": ClassConfig(threshold=0.4)}}},
    ):
        common = msgspec.structs.replace(common, **change.get("common", {}))
        own = msgspec.structs.replace(own, **change.get("own", {}))
        seen.append(low(resolve(Config(detection=common, sources={"mic0": SourceConfig(detection=own)}))))
    assert low(resolve(Config())) == (0.5, f"model {SMALL_CONTRACT.identity}")
    assert seen == [
        (0.1, "detection.threshold"),
        (0.6, "calibration common.json"),
        (0.2, "detection.classes.low.threshold"),
        (0.3, "sources.mic0.detection.threshold"),
        (0.7, "calibration own.json"),
        (0.4, "sources.mic0.detection.classes.low.threshold"),
    ]


def test_a_source_can_do_without_the_common_calibration() -> None:
    detection = DetectionConfig(calibration="common.json", threshold=0.2)
    without = SourceConfig(detection=SourceDetectionConfig(calibration=False))
    config = Config(detection=detection, sources={"mic0": without, "yard": SourceConfig()})
    assert low(resolve(config)) == (0.2, "detection.threshold")
    assert low(resolve(config, source="yard")) == (0.6, "calibration common.json")


def test_a_class_without_a_calibrated_threshold_is_not_detected_unless_a_class_setting_says_so() -> None:
    own = SourceDetectionConfig(calibration="own.json")
    high = resolve(Config(sources={"mic0": SourceConfig(detection=own)})).classes[1]
    assert not high.is_detected
    own = msgspec.structs.replace(own, classes={"high": ClassConfig(threshold=0.9)})
    assert resolve(Config(sources={"mic0": SourceConfig(detection=own)})).classes[1].is_detected


def test_a_source_can_enable_a_class_that_is_disabled_for_all() -> None:
    detection = DetectionConfig(classes={"low": ClassConfig(enabled=False)})
    own = SourceConfig(detection=SourceDetectionConfig(classes={"low": ClassConfig(enabled=True)}))
    sources = resolve_sources(
        Config(detection=detection, sources={"mic0": own, "yard": SourceConfig()}), SMALL_CONTRACT
    )
    assert set(sources["mic0"].thresholds) == {"low", "high"}
    assert set(sources["yard"].thresholds) == set(sources[COMMON].thresholds) == {"high"}


def test_without_settings_of_its_own_a_source_has_the_common_rules() -> None:
    detection = DetectionConfig(threshold=0.3, cooldown_s=2.0, classes={"high": ClassConfig(min_duration_s=0.5)})
    sources = resolve_sources(Config(detection=detection), SMALL_CONTRACT)
    assert sources["mic0"].rules == sources[COMMON].rules == build_rules(detection, SMALL_CONTRACT)


def test_every_key_of_a_source_reaches_its_rule() -> None:
    values = {
        "threshold": 0.4,
        "confirm_windows": 2.0,
        "release_ratio": 0.5,
        "min_duration_s": 0.25,
        "max_duration_s": 9.0,
        "cooldown_s": 3.0,
        "update_s": 4.0,
    }
    own = msgspec.convert(values, SourceDetectionConfig)
    rules = resolve_sources(Config(sources={"mic0": SourceConfig(detection=own)}), SMALL_CONTRACT)["mic0"].rules
    assert rules[0] == DetectionRule(0.4, 0.2, 6400, 2000, 72_000, 24_000, 32_000)
    assert {field.name for field in fields(DetectionRule)} >= {"threshold", "release", "confirm_samples"}


@pytest.mark.parametrize(
    ("adjustment", "value"),
    [
        (ThresholdAdjustment("schedule night", at_least=0.8), 0.8),
        (ThresholdAdjustment("schedule night", at_least=0.3), 0.5),
        (ThresholdAdjustment("schedule night", add=0.2), 0.7),
        (ThresholdAdjustment("schedule night", add=0.9), 1.0),
        (ThresholdAdjustment("schedule night", add=-0.9), 0.01),
        (ThresholdAdjustment("schedule night", at_least=0.9, classes=("high",)), 0.5),
    ],
)
def test_an_adjustment_raises_or_lowers_a_threshold_within_the_scores(
    adjustment: ThresholdAdjustment, value: float
) -> None:
    settings = resolve(Config(), adjustment)
    assert settings.classes[0].threshold.value == value
    named = settings.classes[0].threshold.origin.startswith("schedule night, 0.5 by model")
    assert named is (value != 0.5)


def test_adjustments_follow_each_other_and_leave_an_undetected_class_alone() -> None:
    own = SourceDetectionConfig(calibration="own.json")
    config = Config(sources={"mic0": SourceConfig(detection=own)})
    settings = resolve(config, ThresholdAdjustment("a", at_least=0.8), ThresholdAdjustment("b", add=0.1))
    assert low(settings) == (0.9, "b, 0.8 by a, 0.7 by calibration own.json")
    assert not settings.classes[1].is_detected


def test_clips_of_a_source_are_overridden_key_by_key() -> None:
    common = ClipsConfig(folder="clips", pre_roll_s=3.0)
    own = SourceConfig(clips=SourceClipsConfig(classes=("low",), max_s=5.0, speech_guard=False))
    clips = resolve(Config(clips=common, sources={"mic0": own})).clips
    assert clips.enabled == Setting(True, "clips.folder")
    assert clips.classes == Setting(("low",), "sources.mic0.clips.classes")
    assert clips.pre_roll_s == Setting(3.0, "clips.pre_roll_s")
    assert clips.max_s == Setting(5.0, "sources.mic0.clips.max_s")
    assert clips.post_roll_s == Setting(2.0, "default")
    assert clips.speech_guard == Setting(False, "sources.mic0.clips.speech_guard")
    off = resolve(Config(clips=common, sources={"mic0": SourceConfig(clips=False)})).clips
    assert off.enabled == Setting(False, "sources.mic0.clips")


def test_a_class_of_a_source_that_the_model_does_not_have_is_refused_with_the_nearest() -> None:
    detection = SourceDetectionConfig(classes={"hihg": ClassConfig()})
    with pytest.raises(ConfigError, match=r"sources\.yard\.detection\.classes\.hihg: .* did you mean high\?"):
        check_against_contract(Config(sources={"yard": SourceConfig(detection=detection)}), SMALL_CONTRACT)
    clips = SourceClipsConfig(classes=("lowe",))
    with pytest.raises(ConfigError, match=r"sources\.yard\.clips\.classes\.lowe: .* did you mean low\?"):
        check_against_contract(Config(sources={"yard": SourceConfig(clips=clips)}), SMALL_CONTRACT)


def test_a_source_without_any_class_is_refused() -> None:
    none = SourceDetectionConfig(classes={label: ClassConfig(enabled=False) for label in SMALL_CONTRACT.labels})
    sources = resolve_sources(Config(sources={"yard": SourceConfig(detection=none)}), SMALL_CONTRACT)
    with pytest.raises(ConfigError, match=r"sources\.yard\.detection enables no class"):
        check_detectable(sources)


def test_rows_have_the_limits_of_a_source_with_their_origin() -> None:
    level = LevelConfig(enabled=True, loud=LoudConfig(margin_db=20), silence=SilenceConfig(below_db=-80))
    own = SourceConfig(loud=LoudConfig(margin_db=9, floor_db=-40), silence=False)
    for source, loud, silence in (
        (
            SourceConfig(),
            ("{margin_db: 20, min_s: 0.25, hysteresis_db: 6, background_s: 300}", "level.loud"),
            ("{below_db: -80, min_s: 60, hysteresis_db: 3}", "level.silence"),
        ),
        (
            own,
            ("{margin_db: 9, min_s: 0.25, hysteresis_db: 6, floor_db: -40, background_s: 300}", "sources.mic0.loud"),
            (None, "sources.mic0.silence"),
        ),
    ):
        settings = resolve(Config(level=level, sources={"mic0": source}))
        rows = {row.key: (row.value, row.origin) for row in setting_rows(settings)}
        assert (rows["loud"], rows["silence"]) == (loud, silence)


def test_rows_name_equal_settings_of_all_classes_once() -> None:
    own = SourceConfig(detection=SourceDetectionConfig(cooldown_s=2.0, classes={"high": ClassConfig(threshold=0.9)}))
    rows = {row.key: (row.value, row.origin) for row in setting_rows(resolve(Config(sources={"mic0": own})))}
    assert rows["detection.cooldown_s"] == (2.0, "sources.mic0.detection.cooldown_s")
    assert rows["detection.classes.high.threshold"] == (0.9, "sources.mic0.detection.classes.high.threshold")
    assert rows["detection.classes.low.threshold"] == (0.5, f"model {SMALL_CONTRACT.identity}")
    assert rows["high_pass_hz"] == rows["loud"] == rows["silence"] == (None, "default")
    assert "detection.threshold" not in rows
