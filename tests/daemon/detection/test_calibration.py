"""Thresholds from a place's own background."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from soundwatch.daemon.cli import main
from soundwatch.daemon.config.config import Config, DetectionConfig
from soundwatch.daemon.config.source import ClassConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.model.tags import with_tag_classes
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.detection.calibration import (
    MIN_BACKGROUND_S,
    Calibration,
    ClassCalibration,
    calibrate,
    load_calibration,
    poisson_upper_rate,
)
from soundwatch.daemon.detection.effective import resolve_source
from soundwatch.daemon.detection.rules import COMMON, build_rules
from support.band_model import TAGGED_CONTRACT, write_band_model
from support.cli_runner import lines_of, soundwatch
from support.fakes import SMALL_CONTRACT, SMALL_SPEC, tone

W, HOP = SMALL_SPEC.window_samples, SMALL_SPEC.window_hop_samples
DETECTION = DetectionConfig(confirm_windows=1, cooldown_s=0, min_duration_s=0)
RULES = build_rules(DETECTION, SMALL_CONTRACT)


def thresholds(detection: DetectionConfig, contract: ModelContract, calibration: Calibration) -> list[float]:
    """Return the thresholds that a calibration gives."""
    config = Config(detection=msgspec.structs.replace(detection, calibration="file"))
    settings = resolve_source(config, COMMON, contract, {"file": calibration})
    return [class_.threshold.value for class_ in settings.classes]


QUIET = 0.1
LEAST_WINDOWS = MIN_BACKGROUND_S * SMALL_SPEC.rate_hz // HOP


def background(low: list[float], windows: int = LEAST_WINDOWS) -> list[Scores]:
    """Ten minutes of windows in which `low` scores so at first and `high` nothing."""
    scores = [*low, *[QUIET] * (windows - len(low))]
    return [
        Scores(np.array([score, 0.0], np.float32), SMALL_CONTRACT.labels, n * HOP, n * HOP + W, complete=True)
        for n, score in enumerate(scores)
    ]


@pytest.mark.parametrize(("events", "upper"), [(0, 2.9957), (1, 4.7439), (2, 6.2958), (10, 16.9622), (100, 118.079)])
def test_the_upper_bound_is_garwoods(events: int, upper: float) -> None:
    assert poisson_upper_rate(events, 1.0) == pytest.approx(upper, abs=1e-3)
    assert poisson_upper_rate(events, 4.0) == pytest.approx(upper / 4, abs=1e-3)


def test_a_threshold_is_raised_just_above_the_background() -> None:
    found = calibrate(background([0.1, 0.72, 0.1, 0.655, 0.1] * 20), RULES, SMALL_CONTRACT, 0.5)
    assert found.classes["low"].threshold == pytest.approx(0.73)
    assert found.classes["low"].highest_score == pytest.approx(0.72)
    assert found.classes["low"].false_events == 0
    assert found.classes["high"].threshold == 0.5, "never lowered"


def test_a_tolerated_event_leaves_the_threshold_lower() -> None:
    windows = background([0.1, 0.9, 0.1, 0.655, 0.1])
    hours = windows[-1].end_sample / SMALL_SPEC.rate_hz / 3600
    assert calibrate(windows, RULES, SMALL_CONTRACT, 2.5 / hours).classes["low"].threshold == pytest.approx(0.66)


@pytest.mark.slow
def test_a_background_that_always_sounds_like_the_class_leaves_it_without_a_threshold() -> None:
    found = calibrate(background([0.995, 0.1] * (LEAST_WINDOWS // 2)), RULES, SMALL_CONTRACT, 0.5)
    assert found.classes["low"].threshold is None
    assert thresholds(DETECTION, SMALL_CONTRACT, found)[0] > 1
    own = DetectionConfig(classes={"low": ClassConfig(threshold=0.8)})
    assert thresholds(own, SMALL_CONTRACT, found)[0] == 0.8, "a person's word goes first"


@pytest.mark.parametrize("windows", [0, 1, LEAST_WINDOWS - W // HOP - 2])
def test_a_background_of_less_than_ten_minutes_is_refused(windows: int) -> None:
    with pytest.raises(ConfigError, match=r"The background has \d+ s; at least 600 s were expected"):
        calibrate(background([], windows), RULES, SMALL_CONTRACT, 0.5)


def test_ten_minutes_are_enough_though_their_last_hop_fills_no_window() -> None:
    calibrate(background([], LEAST_WINDOWS - W // HOP), RULES, SMALL_CONTRACT, 0.5)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run the command in this process, and return its log, once it has ended with the code of a wrong setting."""
    with pytest.raises(SystemExit) as stopped:
        main(["calibrate", *map(str, arguments)])
    assert stopped.value.code == 2
    return capfd.readouterr().err


def test_a_short_time_to_listen_is_refused_before_the_microphone_is_opened(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = write_band_model(tmp_path / "bands.onnx")
    log = refused(capfd, "--background", "60", "--device", "none", "--model", model)
    assert "The background has 60 s; at least 600 s were expected" in log


def test_a_short_recording_is_refused_after_the_sentences_about_its_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = write_band_model(tmp_path / "bands.onnx")
    hum = tone(300, 20.0, amplitude=0.004)
    soundfile.write(tmp_path / "short.wav", np.concatenate([hum, np.zeros_like(hum)]).T, 8000)
    log = refused(capfd, "--background", "short.wav", "--model", model)
    assert "soundwatch: short.wav: half of its channels or more are silent" in log
    assert "The background has 20 s; at least 600 s were expected" in log
    assert not (tmp_path / "calibration.json").exists()


def test_a_calibration_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(
        json.dumps({"model": "other@sha256:0", "background_h": 1, "target_per_h": 1, "classes": {}})
    )
    with pytest.raises(ConfigError, match=r"was made with other@sha256:0, and the model is double@"):
        load_calibration(tmp_path / "c.json", SMALL_CONTRACT)
    with pytest.raises(ConfigError, match="is not a calibration"):
        load_calibration(Path(__file__), SMALL_CONTRACT)


def test_a_calibration_that_has_no_end_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(ConfigError, match="is not a regular file"):
            load_calibration(path, SMALL_CONTRACT)
    (tmp_path / "long.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="is longer than 1048576 bytes"):
        load_calibration(tmp_path / "long.json", SMALL_CONTRACT)


def test_a_calibration_of_before_a_tag_became_a_class_stays_valid(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    classes = {
        label: ClassCalibration(threshold=0.9, false_events=0, rate_upper_per_h=0.0, highest_score=0.5)
        for label in TAGGED_CONTRACT.labels
    }
    found = Calibration(model=TAGGED_CONTRACT.identity, background_h=1.0, target_per_h=0.5, classes=classes)
    path.write_bytes(msgspec.json.encode(found))
    contract = with_tag_classes(TAGGED_CONTRACT, ["glass"])
    assert thresholds(DetectionConfig(), contract, load_calibration(path, contract)) == [0.9, 0.9, 0.5]


@pytest.mark.slow
def test_calibration_on_a_hum_suppresses_its_event(tmp_path: Path) -> None:
    model = write_band_model(tmp_path / "bands.onnx")
    hum = tmp_path / "hum.wav"
    soundfile.write(hum, tone(300, 600.0, amplitude=0.004).T, 8000)
    config = tmp_path / "site.yaml"
    config.write_text(f"model: {{file: {model}}}\n")
    before = lines_of(soundwatch("replay", hum, "--config", config).stdout)
    assert [line["type"] for line in before if line.get("class") == "low"]
    done = soundwatch("calibrate", "--background", hum, "--config", config, "--target", "0.5/h")
    assert done.returncode == 0, done.stderr
    assert b"calibration.json" in done.stdout
    config.write_text(f"model: {{file: {model}}}\ndetection: {{calibration: calibration.json}}\n")
    after = lines_of(soundwatch("replay", hum, "--config", config).stdout)
    assert [line["type"] for line in after] == ["hello", "stats"]
    assert after[0]["thresholds"]["low"] > 0.5
    assert b"calibration" in soundwatch("check-config", config).stdout


@pytest.mark.slow
def test_a_calibration_of_one_source_uses_its_settings_and_raises_its_thresholds_alone(tmp_path: Path) -> None:
    model = write_band_model(tmp_path / "bands.onnx")
    hum = tmp_path / "yard.wav"
    soundfile.write(hum, tone(300, 600.0, amplitude=0.004).T, 8000)
    config = tmp_path / "site.yaml"
    config.write_text(f"{{model: {{file: {model}}}, sources: {{yard: {{gain_db: 3}}, street: {{}}}}}}")
    done = soundwatch("calibrate", "--background", hum, "--source", "yard", "--config", config)
    assert done.returncode == 0, done.stderr
    line = "sources: {yard: {detection: {calibration: yard.calibration.json}}}"
    assert line in done.stdout.decode()
    config.write_text(
        f"{{model: {{file: {model}}}, sources: {{street: {{}}, "
        "yard: {gain_db: 3, detection: {calibration: yard.calibration.json}}}}"
    )
    effective = json.loads(soundwatch("check-config", config, "--effective", "--json").stdout)
    assert effective["yard"]["detection.classes.low.threshold"]["origin"].endswith("yard.calibration.json")
    assert effective["street"]["detection.threshold"]["origin"].startswith("model ")
    after = lines_of(soundwatch("replay", hum, "--config", config).stdout)
    assert [line["type"] for line in after] == ["hello", "stats"]
    missing = soundwatch("calibrate", "--background", hum, "--source", "yrad", "--config", config)
    assert missing.returncode == 2
    assert b"did you mean yard?" in missing.stderr


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [("--target", "often"), ("--background", "none.wav")])
def test_a_wrong_option_is_refused(tmp_path: Path, wrong: tuple[str, str]) -> None:
    model = write_band_model(tmp_path / "bands.onnx")
    done = soundwatch("calibrate", "--background", "none.wav", "--model", model, *wrong, cwd=tmp_path)
    assert done.returncode in (2, 4)
    assert wrong[1].encode() in done.stderr
