"""`soundwatch evaluate` puts a model file on trial, and leaves a report of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.cli.evaluate import evaluate
from soundwatch.training.evaluation.recordings.openset import OpenSetReport
from soundwatch.training.evaluation.recordings.robustness import RobustnessReport
from soundwatch.training.evaluation.streets.event_report import EventReport
from soundwatch.training.evaluation.streets.street import StreetReport
from support.everyday_folder import write_everyday_folder
from support.model_files import write_onnx
from support.tone_classifier import TEN_TONES


@pytest.fixture(autouse=True)
def _nobody_talks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def model(tmp_path: Path) -> str:
    provenance = msgspec.structs.replace(TEN_TONES.provenance, folds=(1,))
    return str(write_onnx(tmp_path / "model.onnx", msgspec.structs.replace(TEN_TONES, provenance=provenance)))


@pytest.fixture
def negatives(tmp_path: Path) -> str:
    rng = np.random.default_rng(1)
    for name in ("Rain/a", "Rain/b", "Rain/c", "Rain/d", "Sea/e", "Sea/f", "Sea/g", "Sea/h"):
        path = tmp_path / "negatives" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(16_000), 8000)
    return str(tmp_path / "negatives")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(evaluate, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    ("name", "type_", "options"),
    [
        ("street", StreetReport, ["--minutes", "0.5", "--snr-db", "20,-5"]),
        ("robustness", RobustnessReport, ["--limit", "3"]),
        ("open-set", OpenSetReport, ["--minutes", "1", "--unseen"]),
    ],
)
def test_a_trial_leaves_json_a_page_and_a_picture(
    name: str, type_: type, options: list[str], model: str, negatives: str, tiny_data: Path, tmp_path: Path
) -> None:
    where = ["--negatives", negatives] if name == "open-set" else ["--data", str(tiny_data), "--folds", "1"]
    out = tmp_path / "out"
    done = run(model, f"--{name}", *where, *options, "--out", str(out))
    assert {path.name for path in out.iterdir()} == {f"{name}.json", f"{name}.md", f"{name}.png"}
    assert done.stdout == (out / f"{name}.md").read_text()
    report: Any = msgspec.json.decode((out / f"{name}.json").read_bytes(), type=type_, strict=True)
    assert report.model == "tones@sha256:abababababab"
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    printed = run(model, f"--{name}", *where, *options, "--json")
    assert json.loads(printed.stdout) == json.loads((out / f"{name}.json").read_text())
    assert "tones@sha256" in printed.stderr
    if name != "open-set":
        assert "trained on fold 1: these figures measure memory" in done.stdout


def test_only_negatives_outside_the_training_data_are_used(model: str, negatives: str) -> None:
    heard = json.loads(run(model, "--open-set", "--negatives", negatives, "--minutes", "0.1", "--json").stdout)
    assert heard["held_out_only"]
    assert heard["negatives"]["recordings"] < 8
    every = json.loads(
        run(model, "--open-set", "--negatives", negatives, "--minutes", "0.1", "--json", "--unseen").stdout
    )
    assert every["negatives"]["recordings"] == 8


def test_a_limit_gives_the_number_of_clips_and_the_seed_selects_them(model: str, tiny_data: Path) -> None:
    where = [model, "--robustness", "--data", str(tiny_data), "--folds", "1,2", "--json", "--limit"]
    assert json.loads(run(*where, "4").stdout)["clips"] == 4
    assert json.loads(run(*where, "100").stdout)["clips"] == 20


@pytest.mark.parametrize(
    ("name", "options"),
    [("street", ["--minutes", "2", "--snr-db", "20"]), ("robustness", [])],
    ids=["street", "robustness"],
)
def test_a_folder_a_class_is_put_on_trial_like_urbansound8k(
    name: str, options: list[str], model: str, tmp_path: Path
) -> None:
    for label in ("siren", "dog_bark"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for number in range(3):
            tone = 0.3 * np.sin(2 * np.pi * 500 * np.arange(4000) / 8000)
            soundfile.write(tmp_path / "mine" / label / f"{number}.wav", tone, 8000)
    where = ["--data", str(tmp_path / "mine"), "--layout", "folders", "--test-share", "1"]
    done = run(model, f"--{name}", *where, *options, "--json")
    report = json.loads(done.stdout)
    assert (report["folder"], report["folds"], report["clips"]) == ("mine", [], 6)
    assert "mine" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--street", "--data", "D"], "--folds is missing"),
        (["--folds", "1"], "--data is missing"),
        (["--open-set"], "--open-set needs --negatives"),
        (["--open-set", "--negatives", "N", "--data", "D"], "--open-set tests --negatives alone"),
        (["--open-set", "--negatives", "N", "--layout", "folders"], "--open-set tests --negatives alone"),
        (["--robustness", "--snr-db", "20"], "--snr-db is only for --street"),
        (["--limit", "3"], "--limit is only for --open-set or --robustness"),
        (["--street", "--limit", "3"], "--limit is only for --open-set or --robustness"),
        (["--seed", "3"], "--seed is only for --open-set or --robustness or --street"),
    ],
)
def test_an_option_that_means_nothing_is_refused(arguments: list[str], message: str, model: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(model, *arguments)


def test_ratios_are_decibels_with_commas(model: str) -> None:
    done = CliRunner().invoke(evaluate, [model, "--street", "--snr-db", "loud"])
    assert done.exit_code == 2
    assert "'loud' is not a list of ratios; write decibels with commas, e.g. 20,10,5,0." in done.stderr


def test_a_street_of_everyday_sounds_leaves_json_a_page_and_a_picture(
    model: str, tiny_data: Path, tmp_path: Path
) -> None:
    sounds = str(write_everyday_folder(tmp_path / "sounds", recordings=30))
    where = ["--street", "--sounds", sounds, "--unseen", "--data", str(tiny_data), "--folds", "2", "--minutes", "1"]
    out = tmp_path / "report"
    done = run(model, *where, "--out", str(out), "--json")
    report = msgspec.json.decode((out / "street.json").read_bytes(), type=EventReport)
    assert msgspec.json.decode(done.stdout, type=EventReport) == report
    assert [(scenario.snr_db, scenario.negatives_per_h) for scenario in report.scenarios] == [
        (10, 130),
        (10, 220),
        (0, 130),
    ]
    assert report.trained_on_these == ()
    assert report.raised["train"].clips > report.raised["New York streets"].clips == 1
    assert all(len(points) > 30 for points in report.curves.values())
    page = (out / "street.md").read_text()
    assert "False events an hour, by class" in page
    assert (out / "street.png").stat().st_size > 1000


@pytest.mark.parametrize("option", [["--snr-db", "10"], ["--negatives", "x"]])
def test_a_street_of_everyday_sounds_has_its_own_ratios_and_negatives(option: list[str], model: str) -> None:
    with pytest.raises(ConfigError, match="--sounds has its own negatives and ratios"):
        run(model, "--street", "--sounds", "x", "--data", "y", "--folds", "2", *option)
