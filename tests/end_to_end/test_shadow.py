"""An active and a shadow model in the real program, and their exchange by one command."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import soundfile
from onnx import helper, numpy_helper

from soundwatch.daemon.capture.demo.scene import demo_scene
from soundwatch.daemon.core.model.contract import CONTRACT_KEY, decode_contract, encode_contract
from soundwatch.daemon.inference.classifier import resolve_model
from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH, soundwatch
from support.fakes import SMALL_CONTRACT, SMALL_SPEC
from support.reload_harness import Daemon, Place, running

OTHER = msgspec.structs.replace(SMALL_CONTRACT, name="other", weights_sha256="cd" * 32)
OURS, THEIRS = SMALL_CONTRACT.identity, OTHER.identity


class Street(Place):
    """A folder with a second model and a configuration with comments."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.other = write_band_model(folder / "other.onnx", OTHER, even_db=40)
        self.text = f"""\
# our street
sources:
  low: {{device: {folder}/low.wav}}   # the hum
  high: {{device: {folder}/high.wav}}
model:
  file: {self.model}   # the active model
shadow:
  file: '{self.other}'
  share: 1
detection: {{min_duration_s: 0.1, cooldown_s: 0.3, update_s: 1}}
stats_s: 1
"""
        self.path.write_text(self.text)

    def promoted(self) -> str:
        return self.text.replace(f"file: {self.model} ", f"file: {self.other} ").replace(
            f"'{self.other}'", str(self.model)
        )


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path)


@pytest.fixture
def daemon(street: Street) -> Iterator[Daemon]:
    with running(street.path) as daemon:
        daemon.until(lambda: daemon.of("update"))
        yield daemon


def shadow(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return soundwatch("shadow", *arguments)


def reported(street: Street) -> list[dict[str, Any]]:
    pairs: list[dict[str, Any]] = json.loads(shadow("report", "--format", "json", "--config", street.path).stdout)[
        "pairs"
    ]
    return pairs


def test_differences_of_two_models_become_lines(street: Street, daemon: Daemon) -> None:
    daemon.until(lambda: len(daemon.of("shadow")) >= 4)
    daemon.end()
    differ = daemon.of("differ")
    assert {(line["source"], line["class"]) for line in differ} == {("low", "low"), ("high", "high")}
    assert len(differ) == 2, "a difference is reported once, when it begins"
    for line in differ:
        assert (line["model"], line["shadow"]) == (OURS, THEIRS)
        assert line["score"] >= line["threshold"]
        assert line["shadow_score"] < line["shadow_threshold"]
    for source in ("low", "high"):
        summaries = daemon.of("shadow", source=source)
        assert {line["reason"] for line in summaries[:-1]} == {"interval"}
        assert summaries[-1]["reason"] in ("ended", "interval"), (
            "the last line is an interval's if no window came after it"
        )
        windows = sum(line["windows"] + line["dropped_windows"] for line in summaries)
        assert windows == daemon.of("stats", source=source, final=True)[0]["windows"]
        assert sum(line["only_model"][source] for line in summaries) == sum(line["windows"] for line in summaries)
    [report] = reported(street)
    assert (report["model"], report["shadow"]) == (OURS, THEIRS)
    assert report["windows"] == sum(line["windows"] for line in daemon.of("shadow"))
    assert len(report["moments"]) == report["differences"] == 2
    text = shadow("report", "--config", street.path).stdout.decode()
    assert f"{OURS}, shadow {THEIRS}" in text
    assert "only shadow" in text
    tail = soundwatch("tail", "--config", street.path, "--format", "text", "--type", "differ", "--type", "shadow")
    assert "shadow" in tail.stdout.decode()
    assert "(from 0.5)" in tail.stdout.decode()


def test_a_promotion_and_its_rollback_reload_the_daemon(street: Street, daemon: Daemon) -> None:
    done = shadow("promote", "--config", street.path)
    assert done.returncode == 0, done.stderr.decode()
    assert f"process {daemon.process.pid}: active model {THEIRS}, shadow {OURS}" in done.stdout.decode()
    assert street.path.read_text() == street.promoted()
    daemon.until(lambda: len(daemon.of("hello")) == 4)
    assert {line["model"] for line in daemon.of("hello")[2:]} == {THEIRS}
    daemon.until(lambda: daemon.of("shadow", model=THEIRS, shadow=OURS))
    assert daemon.of("differ", model=THEIRS), "the comparison continues with the models exchanged"
    assert {line["reason"] for line in daemon.of("end")} == {"model_changed"}

    done = shadow("rollback", "--config", street.path)
    assert done.returncode == 0, done.stderr.decode()
    assert f"active model {OURS}, shadow {THEIRS}" in done.stdout.decode()
    daemon.until(lambda: len(daemon.of("hello")) == 6)
    daemon.until(lambda: len(daemon.of("start")) == 4)
    assert {line["model"] for line in daemon.of("start")} == {OURS}
    second = shadow("rollback", "--config", street.path)
    assert second.returncode == 2
    assert b"has no promotion to roll back" in second.stderr
    daemon.end()
    assert {line["reason"] for line in daemon.of("gap")} <= {"overload"}
    for source in ("low", "high") if not daemon.of("health", reason="overload") + daemon.of("gap") else ():
        stats = daemon.of("stats", source=source, final=True)[0]
        hops = (stats["duration_s"] * SMALL_SPEC.rate_hz - SMALL_SPEC.window_samples) / SMALL_SPEC.window_hop_samples
        assert stats["windows"] == 1 + int(hops + 1e-6), "no window is lost when the models are exchanged"
    pairs = [(report["model"], report["shadow"]) for report in reported(street)]
    assert pairs == [(OURS, THEIRS), (THEIRS, OURS)]
    text = street.text.replace(f"'{street.other}'", str(street.other))
    assert street.path.read_text() == text, "only the quotes differ"
    assert sorted(file.name for file in street.folder.glob("config*")) == ["config.yaml"]


def assert_unchanged(street: Street, daemon: Daemon, text: str) -> None:
    """Check that the file has its old bytes and that the daemon uses the old model."""
    assert street.path.read_bytes() == text.encode()
    assert not street.path.with_name("config.yaml.promoted").exists()
    updates = len(daemon.of("update"))
    daemon.until(lambda: len(daemon.of("update")) > updates)
    assert {line["model"] for line in daemon.of("hello")} == {OURS}


def test_a_promotion_that_the_daemon_refuses_restores_the_file(street: Street, daemon: Daemon) -> None:
    text = street.text + "node: elsewhere\n"
    street.path.write_text(text)
    done = shadow("promote", "--config", street.path)
    assert done.returncode == 2
    assert b"refused the new configuration: node cannot be changed while the program runs" in done.stderr
    assert_unchanged(street, daemon, text)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not onnx" * 1000, b"does not read as ONNX"), (b"", b"is empty")],
)
def test_a_shadow_that_cannot_be_opened_is_refused_before_any_change(
    street: Street, daemon: Daemon, content: bytes, message: bytes
) -> None:
    street.other.write_bytes(content)
    done = shadow("promote", "--config", street.path)
    assert done.returncode == 3
    assert message in done.stderr
    assert_unchanged(street, daemon, street.text)
    assert not daemon.of("health", reason="configuration")


def test_a_daemon_started_with_a_model_option_keeps_the_model_and_the_file_is_restored(street: Street) -> None:
    with running(street.path, "--model", str(street.model)) as daemon:
        daemon.until(lambda: daemon.of("update"))
        done = shadow("promote", "--config", street.path)
        assert done.returncode == 2
        assert b"it was started with --model, or with another configuration" in done.stderr
        daemon.until(lambda: len(daemon.of("health", state="reloaded")) == 2)
        assert daemon.of("health", state="reloaded")[-1]["shadow"] == THEIRS
        assert_unchanged(street, daemon, street.text)
        daemon.end()


def test_the_file_is_restored_if_the_daemon_does_not_respond(street: Street, daemon: Daemon) -> None:
    from soundwatch.daemon.config.config import JournalConfig
    from soundwatch.daemon.core.errors import StoreError
    from soundwatch.daemon.shadow.promotion import promote

    daemon.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreError, match=r"did not respond to the new configuration within 0\.3 s"):
            promote(street.path, JournalConfig(), wait_s=0.3)
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    assert_unchanged(street, daemon, street.text)


def test_without_a_daemon_only_the_file_is_changed(street: Street) -> None:
    done = shadow("promote", "--config", street.path)
    assert done.returncode == 0
    assert "No soundwatch writes to" in done.stdout.decode()
    assert f"journal.db: {THEIRS} becomes the active model at the next start." in done.stdout.decode()
    street.path.write_text(street.path.read_text().replace(str(street.model), "urban"))
    done = shadow("rollback", "--config", street.path)
    assert done.returncode == 2
    assert b"was changed since the promotion" in done.stderr


def test_a_promotion_without_a_shadow_or_a_file_is_refused(street: Street) -> None:
    assert b"name it with --config" in shadow("promote").stderr
    street.path.write_text("sources: {}\n")
    done = shadow("promote", "--config", street.path)
    assert done.returncode == 2
    assert b"has no shadow to promote" in done.stderr
    nothing = shadow("report", "--config", street.path, "--journal", street.folder / "none.db")
    assert nothing.returncode == 9


def test_a_model_with_another_front_end_is_refused_at_the_start_with_both_names(street: Street) -> None:
    street.path.write_text(street.text.replace(f"'{street.other}'", "tutorial"))
    for command in (["run"], ["check-config"]):
        done = subprocess.run(
            [SOUNDWATCH, *command, "--config", str(street.path)], capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 2
        assert OURS.encode() in done.stderr
        assert b"tutorial@sha256:" in done.stderr
        assert b"rate_hz is 44100 and not 8000" in done.stderr
        assert b"Traceback" not in done.stderr


def test_doctor_checks_the_shadow(street: Street) -> None:
    done = soundwatch("doctor", "--config", street.path)
    assert f"{THEIRS} can run next to {OURS}" in done.stdout.decode()
    street.path.write_text(street.text.replace(f"'{street.other}'", "urban"))
    done = soundwatch("doctor", "--config", street.path)
    assert "cannot be the shadow of" in done.stdout.decode()


def test_a_reload_changes_the_share_and_removes_the_shadow(street: Street, daemon: Daemon) -> None:
    street.path.write_text(street.text.replace("  share: 1\n", "  share: 0.5\n"))
    line = daemon.reload("reloaded")
    assert (line["detail"], line["model"], line["shadow"]) == ("the shadow is changed", OURS, THEIRS)
    daemon.until(lambda: daemon.of("shadow", reason="interval", windows=5))
    street.path.write_text(street.text.replace(f"'{street.other}'", "null"))
    assert daemon.reload("reloaded")["shadow"] is None
    compared = len(daemon.of("shadow"))
    updates = len(daemon.of("update"))
    daemon.until(lambda: len(daemon.of("update")) > updates + 2)
    assert len(daemon.of("shadow")) == compared
    daemon.end()
    assert len(daemon.of("hello")) == 2, "the active model is unchanged"


def write_low_scoring_model(path: Path) -> str:
    """Write the default model with a lower bias, so that the odds are e^-3 of the original ones; return its name."""
    model = onnx.load(resolve_model("urban"))
    contract = decode_contract(next(item.value for item in model.metadata_props if item.key == CONTRACT_KEY), "urban")
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "head.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - np.float32(3), bias.name))
    contract = msgspec.structs.replace(contract, name="low_scores", weights_sha256="ef" * 32)
    helper.set_model_props(model, {CONTRACT_KEY: encode_contract(contract)})
    onnx.save(model, path)
    return contract.identity


def test_the_default_model_with_a_shadow_on_the_demo_scene(tmp_path: Path) -> None:
    low_scores = write_low_scoring_model(tmp_path / "low_scores.onnx")
    soundfile.write(tmp_path / "street.wav", demo_scene(22_050, 120.0).T, 22_050)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"sources: {{street: {{device: {tmp_path}/street.wav}}}}\nstats_s: 4\n"
        f"shadow: {{file: {tmp_path}/low_scores.onnx, share: 1}}\n"
    )
    with running(config) as daemon:
        daemon.until(lambda: daemon.of("differ") and daemon.of("shadow"))
        [first, *_] = daemon.of("differ")
        assert (first["model"].partition("@")[0], first["shadow"]) == ("urban", low_scores)
        start = daemon.of("start", **{"class": first["class"]})[0]
        assert first["score"] >= first["threshold"] == daemon.of("hello")[0]["thresholds"][start["class"]]
        odds = [score / (1 - score) for score in (first["score"], first["shadow_score"])]
        assert odds[1] / odds[0] == pytest.approx(np.exp(-3), rel=0.05), "both models read equal features"
        assert daemon.of("shadow")[0]["mean_difference"] > 0
        done = shadow("promote", "--config", config)
        assert done.returncode == 0, done.stderr.decode()
        daemon.until(lambda: daemon.of("hello", model=low_scores))
        assert "model:\n  file: " in config.read_text(), "the configuration had no line for the default model"
        assert "shadow: {file: urban, share: 1}" in config.read_text()
        daemon.end()
