"""Changes of a configuration that a running program can apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from soundwatch.daemon.app.build import InForce, build_context, rebuild
from soundwatch.daemon.app.reload import RunConfig, diff_configs, keep_restart_values
from soundwatch.daemon.config.config import ClipsConfig, Config, DetectionConfig, JournalConfig, ModelConfig
from soundwatch.daemon.config.level import LevelConfig, LoudConfig, SilenceConfig
from soundwatch.daemon.config.source import ClassConfig, SourceClipsConfig, SourceConfig, SourceDetectionConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.time.clock import SampleClock
from soundwatch.daemon.sinks.direct import DirectWriter
from support.band_model import TAGGED_CONTRACT, write_band_model
from support.fakes import SMALL_CONTRACT
from support.memory_logger import MemoryLogger

MIC, YARD = SourceConfig(device="mic"), SourceConfig(device="yard")
BEFORE = RunConfig(Config(sinks=("json", "json:a.jsonl")), {"mic0": MIC, "yard": YARD})


def after(sources: dict[str, SourceConfig] | None = None, **values: Any) -> RunConfig:
    return RunConfig(msgspec.structs.replace(BEFORE.config, **values), BEFORE.sources if sources is None else sources)


def test_the_same_is_no_change() -> None:
    changes = diff_configs(BEFORE, after())
    assert changes.text == "nothing is changed"
    assert not changes.deciding


def test_sources_are_added_removed_and_changed_by_name() -> None:
    changes = diff_configs(BEFORE, after({"mic0": YARD, "street": MIC}))
    assert changes.sources_removed == ("mic0", "yard")
    assert changes.sources_added == ("mic0", "street")
    assert changes.text == "source yard is gone; source mic0 is changed; source street is new"


def test_a_source_goes_on_with_other_settings() -> None:
    louder = msgspec.structs.replace(MIC, gain_db=6.0)
    changes = diff_configs(BEFORE, after({"mic0": louder, "yard": YARD}))
    assert (changes.sources_removed, changes.sources_added) == ((), ())
    assert changes.text == "settings of source mic0 are changed"


@pytest.mark.parametrize("other", [{"certificate": "unchecked"}, {"pcm": "s16le,16000,1"}, {"channels": 2}])
def test_a_source_that_would_be_opened_otherwise_is_opened_again(other: dict[str, object]) -> None:
    changes = diff_configs(BEFORE, after({"mic0": MIC, "yard": msgspec.structs.replace(YARD, **other)}))
    assert (changes.sources_removed, changes.sources_added) == (("yard",), ("yard",))


def test_the_model_has_each_class_that_a_source_detects_with_the_lowest_threshold(tmp_path: Path) -> None:
    model = ModelConfig(file=str(write_band_model(tmp_path / "m.onnx", SMALL_CONTRACT)), provider="cpu")
    own = SourceDetectionConfig(threshold=0.3, classes={"low": ClassConfig(enabled=True)})
    detection = DetectionConfig(threshold=0.6, classes={"low": ClassConfig(enabled=False)})
    sources = {"mic0": msgspec.structs.replace(MIC, detection=own), "yard": YARD}
    config = Config(model=model, detection=detection, sources=sources)
    context, _ = build_context(config, SampleClock(), lambda: DirectWriter([], MemoryLogger()))
    assert InForce(RunConfig(config, sources), context).model.thresholds == {"low": 0.3, "high": 0.3}
    assert InForce(RunConfig(config, {"yard": YARD}), context).model.thresholds == {"high": 0.6}


def test_a_source_cannot_begin_to_need_the_speech_guard_while_the_program_runs() -> None:
    unguarded = RunConfig(msgspec.structs.replace(BEFORE.config, clips=ClipsConfig(speech_guard=False)), BEFORE.sources)
    guarded = {"mic0": msgspec.structs.replace(MIC, clips=SourceClipsConfig(speech_guard=True)), "yard": YARD}
    other = RunConfig(msgspec.structs.replace(unguarded.config, sources=guarded), guarded)
    with pytest.raises(ConfigError, match=r"clips\.speech_guard of a source cannot be changed"):
        diff_configs(unguarded, other)


def test_limits_of_a_source_change_while_the_program_runs_and_its_classes_do_not() -> None:
    level = LevelConfig(enabled=True, silence=SilenceConfig(below_db=-80))
    before = RunConfig(msgspec.structs.replace(BEFORE.config, level=level), BEFORE.sources)

    def with_yard(**own: Any) -> RunConfig:
        sources = {"mic0": MIC, "yard": msgspec.structs.replace(YARD, **own)}
        return RunConfig(msgspec.structs.replace(before.config, sources=sources), sources)

    for own in ({"silence": SilenceConfig(below_db=-60)}, {"silence": False}):
        assert diff_configs(before, with_yard(**own)).text == "settings of source yard are changed"
    loud = with_yard(loud=LoudConfig(), gain_db=6.0)
    with pytest.raises(ConfigError, match="the classes loud and silence cannot be changed while the program runs"):
        diff_configs(before, loud)
    kept = keep_restart_values(before.config, loud.config)
    assert kept.sources["yard"] == msgspec.structs.replace(YARD, gain_db=6.0)


def test_a_sink_is_the_same_however_it_is_written() -> None:
    changes = diff_configs(BEFORE, after(sinks=({"sink": "json:a.jsonl"}, "json,scores=1")))
    assert changes.sinks_removed == ("json",)
    assert changes.sinks_added == ("json,scores=1",)


@pytest.mark.parametrize(
    "values",
    [{"detection": DetectionConfig(threshold=0.9)}, {"model": ModelConfig(file="tutorial")}, {"stats_s": 60.0}],
)
def test_keys_that_change_decisions_are_distinguished(values: dict[str, Any]) -> None:
    assert diff_configs(BEFORE, after(**values)).deciding


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"node": "other"}, "node cannot be changed while the program runs; restart it"),
        ({"journal": JournalConfig(path="memory")}, "journal cannot be changed"),
        ({"sinks": ("json", "http://127.0.0.1:8433")}, r"the page \(http\) cannot be changed"),
        ({"sinks": ("pigeon",)}, "names no known sink"),
    ],
)
def test_a_change_that_needs_a_restart_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        diff_configs(BEFORE, after(**values))


def test_a_configuration_without_sources_is_refused() -> None:
    with pytest.raises(ConfigError, match="no source left"):
        diff_configs(BEFORE, after({}))


def test_a_change_of_the_tags_that_are_classes_needs_a_restart(tmp_path: Path) -> None:
    model = ModelConfig(file=str(write_band_model(tmp_path / "m.onnx", TAGGED_CONTRACT)), provider="cpu")
    before, after = Config(model=model), Config(model=model, detection=DetectionConfig(tags=("glass",)))
    sink = DirectWriter([], MemoryLogger())
    context, _ = build_context(before, SampleClock(), lambda: sink)
    in_force = InForce(RunConfig(before, {}), context, None)
    assert rebuild(in_force, RunConfig(before, {}), MemoryLogger()).context is context
    with pytest.raises(ConfigError, match=r"detection\.tags cannot be changed while the program runs"):
        rebuild(in_force, RunConfig(after, {}), MemoryLogger())


def test_a_reload_checks_the_new_sources_against_the_sinks_that_stay(tmp_path: Path) -> None:
    model = ModelConfig(file=str(write_band_model(tmp_path / "m.onnx", SMALL_CONTRACT)), provider="cpu")
    config = Config(model=model, sinks=("mqtt://localhost",))
    context, _ = build_context(config, SampleClock(), lambda: DirectWriter([], MemoryLogger()))
    with pytest.raises(ConfigError, match=r"The sources mic 0 and mic_0 would share MQTT topics"):
        rebuild(
            InForce(RunConfig(config, {}), context), RunConfig(config, {"mic 0": MIC, "mic_0": YARD}), MemoryLogger()
        )
