"""Values of the configuration, and messages for mistakes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import pytest
import yaml

from soundwatch.daemon.config.config import Config, DetectionConfig
from soundwatch.daemon.config.file import check_against_contract, check_rereadable, load_config, parse_yaml
from soundwatch.daemon.config.keys import config_keys
from soundwatch.daemon.config.rules import RuleConfig, ThenConfig
from soundwatch.daemon.config.schedule import ScheduleConfig, ScheduleEffectConfig, ThresholdsConfig
from soundwatch.daemon.config.source import ClassConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.detection.rules import build_rules, thresholds_in_force
from support.fakes import SMALL_CONTRACT

EXAMPLE = Path(__file__).resolve().parents[3] / "config.yaml"


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config(path)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == load(tmp_path, "# nothing\n") == load_config(None) == Config()


def test_the_example_shows_every_key_with_its_default() -> None:
    def keys(tree: object, at: str = "") -> set[str]:
        if not isinstance(tree, dict):
            return {at}
        return {at}.union(*(keys(value, f"{at}.{key}") for key, value in tree.items()))

    shown = yaml.safe_load(EXAMPLE.read_text())
    example = load_config(EXAMPLE)
    assert example == Config(detection=example.detection, schedules=example.schedules, rules=example.rules)
    [schedule] = example.schedules.values()
    assert not schedule.enabled
    assert set(shown["schedules"]["quiet_night"]) == set(ScheduleConfig.__struct_fields__)
    assert set(shown["schedules"]["quiet_night"]["then"]) == set(ScheduleEffectConfig.__struct_fields__)
    assert set(shown["schedules"]["quiet_night"]["then"]["thresholds"]) == set(ThresholdsConfig.__struct_fields__)
    [rule] = example.rules.values()
    defaults = RuleConfig()
    assert not rule.enabled
    assert rule.not_when == defaults.not_when
    assert msgspec.structs.replace(rule.when, classes=(), during=()) == defaults.when
    assert msgspec.structs.replace(rule.then, send=()) == ThenConfig()
    assert keys(msgspec.to_builtins(defaults)) <= keys(shown["rules"]["siren_at_night"])
    assert msgspec.structs.replace(load_config(EXAMPLE).detection, classes={}) == DetectionConfig()
    assert keys(msgspec.to_builtins(Config())) <= keys(shown)
    assert set(msgspec.to_builtins(ClassConfig())) == set(shown["detection"]["classes"]["gun_shot"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detecton: {}", r"`detecton` is not a key; did you mean `detection`\?"),
        ("sources: {mic0: {devise: x}}", r"`sources.mic0.devise` is not a key; did you mean `device`\? Known keys: "),
        ("detection: {classes: {siren: {treshold: 1}}}", r"`detection.classes.siren.treshold` .* `threshold`"),
        ("sources: {a: {detection: {treshold: 1}}}", r"`sources.a.detection.treshold` .* `threshold`"),
        ("sources: {a: {clips: {pre_rol_s: 1}}}", r"`sources.a.clips.pre_rol_s` .* `pre_roll_s`"),
        ("sources: {a: {detection: {calibration: true}}}", "false for none, or null for the common one, not true"),
        ("sources: {a: {gain_db: 90}}", r"`number` <= 60.0 - at `sources.a.gain_db`"),
        ("detection: {release_ratio: 1.5}", r"`number` <= 1.0 - at `detection.release_ratio`"),
        ("model: {threads: many}", r"Expected `integer`, got `text` - at `model.threads`"),
        ("sources: {no: {device: demo}}", 'as other types than text; put the text in quotes, such as "no"'),
        ("sources: {1: {device: demo}}", "put the text in quotes"),
        ("on: 1", "put the text in quotes"),
        ("sources: {mic: {device: on}}", "put the text in quotes"),
        ("log: {level: off}", "put the text in quotes"),
        ("log: {level: loud}", r"Invalid enum value 'loud' - at `log.level`. Choose one of these: debug, info"),
        ("place: {language: xx}", "'xx' - at `place.language`. Choose one of these: en, de, es, fr, nl, ja"),
        ("schedules: {a: {when: [{days: [mo]}], then: {pause: true}}}", "Choose one of these: mon, tue, wed"),
        (
            "schedules: {a: {when: [{}], then: {pause: lock}}}",
            "'lock' - at .* Choose one of these: true, false, locked",
        ),
        (
            "schedules: {a: {when: [{}], then: {pause: 1}}}",
            "got `integer` - at .* Choose one of these: true, false, locked",
        ),
        (
            "sources: {a: {detection: {classes: {siren: {threshold: 1e-1}}}}, b: {detection: {classes: 3}}}",
            "YAML reads 1e-1 as text",
        ),
        ("stats_s: 1e3", "YAML reads 1e3 as text; write a number with a point and a sign"),
        ('sources: {"": {device: demo}}', "sources: the name '' is empty"),
        ('schedules: {" ": {when: [{}], then: {pause: true}}}', "schedules: the name ' ' is empty"),
        ('node: "balcony\\n"', r"node: the name 'balcony\\n' has the character U\+000A, which nobody sees"),
        ("node: ' '", "node: the name ' ' is empty"),
        ('sources: {"mic\\u202e0": {device: demo}}', r"sources: the name 'mic\\u202e0' has the character U\+202E"),
        ("sources: {mic\u200b: {device: demo}}", r"sources: the name 'mic\\u200b' has"),
        ('schedules: {"\\e[2J": {when: [{}], then: {pause: true}}}', r"schedules: the name .* U\+001B"),
        ('rules: {"a\\u2066b": {when: {classes: [siren]}, then: {send: ["json:x"]}}}', r"rules: the name .* U\+2066"),
        ("detection: {threshold: '0.5'}", "at `detection.threshold`. Write the number without quotes"),
        (
            "stats_s: 0777",
            "line 1, column 10: 0777 begins with a zero, .* an octal number in YAML, 511; write 777, or a",
        ),
        ("node: x\nsources: {a: {channels: -0_10}}", "line 2, column 25: -0_10 begins .* write -10"),
        ("sources: {010: {device: demo}}", "write 10, or a text in quotes"),
        ("stats_s: 0888", "got `text` - at `stats_s`. Write the number without quotes, and without a zero in front"),
        ("stats_s: 1:30.5", "got `text` - at `stats_s`"),
        ("<<: {stats_s: 10}\n<<: {stats_s: 11}", "the key '<<' appears twice, line 2"),
        ("stats: 10", "`stats` is not a key; did you mean `stats_s`. Known keys: "),
        ("xyz: 10", "`xyz` is not a key; known keys: "),
        ("sources: {a: {device: demo}, b: {device: demo, gain_db: 90}}", "at `sources.b.gain_db`"),
        ("sources: {a: {device: demo}, b: }", "`sources.b` has no value. Write one"),
        ("rules: {a: {when: {count: {times: 3}}}}", "`rules.a.when.count` lacks the key `within_s`"),
        ("detection:", "`detection` has no value. Write one"),
        ("- a list", r"Expected `mapping`, got `list`"),
        ("a: [", "is not YAML: line 1, column 5: "),
        ("node: a\nsinks: ['mqtt://user:hunter2@broker'\nlog: x", "is not YAML: line 3, column 1: while parsing"),
        ("node: a\nlog: \x07", "line 2 holds the character U.0007"),
        ("node: " + "[" * 700, "too many levels"),
        ("node: x\nlog: !!bool maybe", "line 2, column 6: the value is no bool"),
        ("stats_s: !!int ''", "line 1, column 10: the value is no int"),
        ("node: !!timestamp soon", "line 1, column 7: the value is no timestamp"),
        ("node: x\nplace: 2026-13-01", "line 2, column 8: month must be in 1..12"),
        ("sources: !!map x", "line 1, column 10: expected a mapping node"),
        ('node: "\\U00110000"', "is not YAML: "),
        ('node: "\\UFFFFFFFF"', "is not YAML: "),
        ("clips: {folder: ''}", "`clips.folder` is empty. Write a value"),
        ("journal: {path: ''}", "`journal.path` is empty. Write a value"),
        ("sources: {a: {detection: {calibration: ''}}}", "`sources.a.detection.calibration` is empty"),
        ("model: {sha256: ''}", "`model.sha256` has another form than 8 to 64 hexadecimal digits"),
        ("model: {backend: cuda}", "`model.backend` has another form than auto, onnx, torchscript or triton:"),
        ("stats_s: .inf", "<= 31536000.0 - at `stats_s`"),
        ("journal: {max_age_days: .inf}", "<= 36500.0 - at `journal.max_age_days`"),
        ("clips: {max_bytes: 99999999999999999999}", "<= 1000000000000000 - at `clips.max_bytes`"),
    ],
)
def test_a_mistake_is_answered_with_the_place_and_the_nearest_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        load(tmp_path, text)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["Küche", "台所", "مِنبَر", "नमस्ते", "کتاب\u200cخانه", "👩\u200d👧", "mic 0", "a/b"])
def test_names_of_all_scripts_are_accepted(tmp_path: Path, name: str) -> None:
    config = load(tmp_path, f"node: {name}\nsources: {{{name}: {{device: demo}}}}")
    assert (config.node, list(config.sources)) == (name, [name])


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="line 1 holds the byte 0xff, and UTF-8 was expected"):
        load_config(tmp_path / "bytes.yaml")


def test_a_class_that_the_model_does_not_have_is_refused_with_the_nearest() -> None:
    config = Config(detection=DetectionConfig(classes={"hihg": ClassConfig()}))
    with pytest.raises(ConfigError, match=r"detection.classes.hihg: the model double@.* did you mean high\?"):
        check_against_contract(config, SMALL_CONTRACT)


def test_a_class_setting_overrides_the_common_one_and_the_models() -> None:
    detection = DetectionConfig(cooldown_s=2, classes={"low": ClassConfig(threshold=0.9, cooldown_s=0)})
    low, high = build_rules(detection, SMALL_CONTRACT)
    assert (low.threshold, high.threshold) == (0.9, 0.5)
    assert (low.cooldown_samples, high.cooldown_samples) == (0, 16_000)
    assert low.release == pytest.approx(0.9 * 0.7)


def test_a_disabled_class_raises_no_event() -> None:
    detection = DetectionConfig(classes={"low": ClassConfig(enabled=False)})
    rules = build_rules(detection, SMALL_CONTRACT)
    assert rules[0].threshold > 1
    assert thresholds_in_force(rules, SMALL_CONTRACT.labels) == {"high": 0.5}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sources: {mic0: {device: a}, mic0: {device: b}}", "mic0"),
        ("node: a\nnode: b", "node"),
        ("detection:\n  classes:\n    siren: {threshold: 0.5}\n    siren: {threshold: 0.9}", "siren"),
    ],
)
def test_a_key_that_appears_twice_is_refused(tmp_path: Path, text: str, key: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"the key '{key}' appears twice, line"):
        load_config(tmp_path / "c.yaml")


def test_an_ambiguous_address_of_a_source_is_refused_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("sources: {gate: {device: 'rtsp://cam:p@ss/w:rd#1@host'}}")
    with pytest.raises(ConfigError, match=r"sources\.gate\.device rtsp://\*\*\*@host is ambiguous.*percent-encode"):
        load_config(tmp_path / "c.yaml")


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes("\ufeffnode: edge1".encode())
    assert load_config(tmp_path / "c.yaml").node == "edge1"


def test_a_time_of_day_needs_no_quotes() -> None:
    assert parse_yaml(b"{from: 22:00, to: 06:00, port: 8433, rate: 1.5}", "c.yaml") == {
        "from": "22:00",
        "to": "06:00",
        "port": 8433,
        "rate": 1.5,
    }


def test_a_time_zone_that_does_not_exist_is_refused_with_the_nearest_and_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'Europe/Berlim' .* did you mean Europe/Berlin\?.* - at `place`"):
        load(tmp_path, "place: {time_zone: Europe/Berlim}")


def test_calibrations_are_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, "{detection: {calibration: a.json}, sources: {yard: {detection: {calibration: b.json}}}}")
    assert config.detection.calibration == str(tmp_path / "a.json")
    assert config.sources["yard"].detection.calibration == str(tmp_path / "b.json")


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parent / "releases").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_configuration_of_an_earlier_release_is_read(file: Path) -> None:
    """A key that is renamed needs a migration: config.yaml as earlier releases had it stays valid."""
    assert isinstance(load_config(file), Config)


def test_a_configuration_that_can_be_read_only_once_is_not_read_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path(os.devnull)):
        with pytest.raises(ConfigError, match="is a pipe or a device, which cannot be read again"):
            check_rereadable(path)
    (tmp_path / "config.yaml").write_text("")
    check_rereadable(tmp_path / "config.yaml")
    check_rereadable(tmp_path / "none.yaml")
    check_rereadable(None)


def test_each_number_has_a_lowest_and_a_highest_value() -> None:
    unlimited = [
        ".".join(key.path)
        for key in config_keys()
        if key.kind in ("integer", "number") and not re.search("at most|below", key.values)
    ]
    assert unlimited == []
