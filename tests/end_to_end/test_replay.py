"""Recordings through the whole program, as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.band_model import TAGGED_CONTRACT, write_band_model
from support.cli_runner import lines_of, soundwatch
from support.fakes import silence, tone

RATE_HZ = 16_000
SCENE = np.concatenate(
    [
        silence(1.0, RATE_HZ),
        tone(300, 1.0, RATE_HZ),
        silence(1.5, RATE_HZ),
        tone(3000, 1.0, RATE_HZ),
        silence(1.0, RATE_HZ),
    ],
    axis=1,
)
CONFIG = """
node: test
detection: {min_duration_s: 0.1, cooldown_s: 0.3, update_s: 0.4}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_band_model(tmp_path / "bands.onnx")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.wav"
    soundfile.write(path, SCENE.T, RATE_HZ, subtype="PCM_16")
    return path


def test_requested_scores_are_written_before_the_events_of_their_window(
    model: Path, config: Path, scene: Path, tmp_path: Path
) -> None:
    both = ("-F", f"json:{tmp_path / 'events.jsonl'}", "-F", f"json:{tmp_path / 'scores.jsonl'},scores=1")
    done = soundwatch("replay", scene, "--model", model, "--config", config, *both)
    assert done.returncode == 0, done.stderr
    plain, scored = (lines_of((tmp_path / name).read_bytes()) for name in ("events.jsonl", "scores.jsonl"))
    windows = [line for line in scored if line["type"] == "scores"]
    assert [line for line in scored if line["type"] != "scores"] == plain
    assert len(windows) == plain[-1]["windows"]
    assert "seq" not in windows[0]
    start = next(place for place, line in enumerate(scored) if line["type"] == "start")
    window = next(line for line in reversed(scored[:start]) if line["type"] == "scores")
    assert window["scores"][scored[start]["class"]] == pytest.approx(scored[start]["score"], abs=1e-3)
    again = soundwatch("replay", scene, "--model", model, "--config", config, "-F", "json,scores=1")
    assert lines_of(again.stdout) == scored


def test_an_option_that_json_does_not_have_is_refused(model: Path, scene: Path) -> None:
    done = soundwatch("replay", scene, "--model", model, "-F", "json,score=1")
    assert done.returncode == 2
    assert b"score" in done.stderr


def test_a_recording_becomes_events_at_the_times_its_sounds_have(model: Path, config: Path, scene: Path) -> None:
    done = soundwatch("replay", scene, "--model", model, "--config", config)
    assert done.returncode == 0, done.stderr
    lines = lines_of(done.stdout)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    hello, *events, stats = lines
    assert (hello["type"], hello["stream_start"], hello["source"]) == ("hello", "1970-01-01T00:00:00.000Z", "scene")
    assert hello["provider"] == "CPUExecutionProvider"
    ended = {line["class"]: line for line in events if line["type"] == "end"}
    assert set(ended) == {"low", "high"}
    for label, onset_s in (("low", 1.0), ("high", 3.5)):
        told = float(re.fullmatch(r"1970-01-01T00:00:(\d\d\.\d{3})Z", ended[label]["onset"])[1])  # type: ignore[index]
        assert abs(told - onset_s) <= 0.25, "right to about two hops of 0.1 s"
        assert ended[label]["duration_s"] == pytest.approx(1.0, abs=0.4)
        assert ended[label]["reason"] == "decay"
    assert (stats["type"], stats["coverage"], stats["duration_s"]) == ("stats", 1.0, 5.5)


def test_two_runs_print_the_same_bytes_and_start_moves_the_clock(model: Path, config: Path, scene: Path) -> None:
    def run(*more: str) -> bytes:
        return bytes(soundwatch("replay", scene, "--model", model, "--config", config, *more).stdout)

    first = run()
    assert run() == first
    moved = lines_of(run("--start", "2026-11-22T10:00:00+02:00"))
    assert moved[0]["stream_start"] == "2026-11-22T08:00:00.000Z"
    assert {line["id"] for line in moved if "id" in line}.isdisjoint(
        line["id"] for line in lines_of(first) if "id" in line
    )


def test_several_recordings_are_read_in_order_with_their_own_names(model: Path, config: Path, scene: Path) -> None:
    other = scene.with_name("other.flac")
    soundfile.write(other, SCENE.T, RATE_HZ)
    lines = lines_of(soundwatch("replay", scene, other, "--model", model, "--config", config).stdout)
    assert [line["source"] for line in lines if line["type"] == "hello"] == ["scene", "other"]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_a_file_and_standard_output_get_equal_lines(model: Path, config: Path, scene: Path) -> None:
    path = scene.with_suffix(".jsonl")
    done = soundwatch("replay", scene, "--model", model, "--config", config, "-F", "json", "-F", f"json:{path}")
    assert path.read_bytes() == done.stdout
    assert done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_reported_with_its_exit_code(model: Path, config: Path, scene: Path) -> None:
    done = soundwatch("replay", scene, "--model", model, "--config", config, "-F", "json:/dev/full")
    assert done.returncode == 6
    assert b"lines could not be written to /dev/full" in done.stderr
    assert b"No space left on device" in done.stderr
    with Path("/dev/full").open("wb") as full:
        done = soundwatch("schema", capture_output=False, stdout=full, stderr=-1)
    assert done.returncode == 6
    assert b"Standard output cannot be written: No space left on device" in done.stderr


def test_classify_prints_one_line_a_file_with_every_class(model: Path, scene: Path) -> None:
    done = soundwatch("classify", scene, "--model", model, "--json")
    answer = json.loads(done.stdout)
    assert answer["file"] == str(scene)
    assert set(answer["scores"]) == {"low", "high"}
    assert all(0 <= score <= 1 for score in answer["scores"].values())
    assert soundwatch("classify", scene, "--model", model).stdout.decode().startswith(f"{scene}: ")


def test_a_model_with_tags_gives_them_in_scores_events_and_classify(config: Path, scene: Path, tmp_path: Path) -> None:
    model = write_band_model(tmp_path / "tagged.onnx", TAGGED_CONTRACT)
    text = CONFIG.replace("detection: {", "detection: {tags: [whistle], ")
    config.write_text(text)
    done = soundwatch("replay", scene, "--model", model, "--config", config, "-F", "json,scores=1")
    assert done.returncode == 0, done.stderr
    lines = lines_of(done.stdout)
    assert lines[0]["classes"] == ["low", "high", "whistle"]
    assert all(set(line["tags"]) == set(TAGGED_CONTRACT.tags) for line in lines if line["type"] == "scores")
    events = [line for line in lines if "peak_score" in line]
    assert {line["class"]: line.get("experimental") for line in events} == {"low": None, "high": None, "whistle": True}
    assert all(len(line["also"]) == 3 and line["class"] not in line["also"] for line in events)
    [whistle, *_] = [line for line in events if line["class"] == "high"]
    assert next(iter(whistle["also"])) in ("whistle", "glass")
    text = soundwatch("classify", scene, "--model", model).stdout.decode()
    assert re.search(r": (low|high) 0\.\d\d, .*; also \w+ 0\.\d\d, ", text)
    assert set(json.loads(soundwatch("classify", scene, "--model", model, "--json").stdout)["tags"]) == {
        *TAGGED_CONTRACT.tags
    }
    config.write_text(CONFIG.replace("detection: {", "detection: {tags: [whistel], "))
    refused = soundwatch("replay", scene, "--model", model, "--config", config)
    assert (refused.returncode, b"did you mean whistle?" in refused.stderr) == (2, True)


@pytest.mark.parametrize("command", ["replay", "classify"])
def test_a_recording_whose_channels_cancel_is_reported(command: str, model: Path, config: Path, tmp_path: Path) -> None:
    for name, right, warned in (("opposite", -1, True), ("equal", 1, False)):
        path = tmp_path / f"{name}.flac"
        soundfile.write(path, np.stack([SCENE[0], right * SCENE[0]], axis=1), RATE_HZ)
        done = soundwatch(command, path, "--model", model, "--config", config)
        assert done.returncode == 0
        assert (b"cancel each other" in done.stderr) is warned


def test_digital_silence_is_no_event_and_no_nan(model: Path, config: Path, tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros((RATE_HZ * 3, 2)), RATE_HZ)
    lines = lines_of(soundwatch("replay", path, "--model", model, "--config", config).stdout)
    assert [line["type"] for line in lines] == ["hello", "stats"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--start", "yesterday"), b"--start yesterday is no time"),
        (("--start", "2026-11-22T08:00:00"), b"has no zone"),
        (("-F", "xml"), b"names no known sink"),
        (("--model", "urbane"), b"There is no model urbane"),
        (("--config", "none.yaml"), b"none.yaml cannot be read"),
        (("--colour", "red"), b"No such option"),
    ],
)
def test_a_wrong_option_is_refused_with_one_message(scene: Path, option: tuple[str, str], message: bytes) -> None:
    done = soundwatch("replay", scene, *option)
    assert done.returncode in (2, 3)
    assert message in done.stderr
    assert done.stdout == b""


def test_requiring_cuda_without_a_driver_fails_rather_than_falls_back(model: Path, scene: Path) -> None:
    try:
        import ctypes

        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("this machine has a CUDA driver")
    done = soundwatch("replay", scene, "--model", model, "--require-cuda")
    assert done.returncode == 5
    assert b"libcuda" in done.stderr


def test_requested_levels_are_written_for_each_second(model: Path, scene: Path, tmp_path: Path) -> None:
    config = tmp_path / "metered.yaml"
    config.write_text(CONFIG + "level: {enabled: true}\nsources: {scene: {device: scene.wav, level_offset_db: 120}}\n")
    both = ("-F", "json", "-F", f"json:{tmp_path / 'levels.jsonl'},level=1")
    done = soundwatch("replay", scene, "--model", model, "--config", config, *both)
    assert done.returncode == 0, done.stderr
    levels = [line for line in lines_of((tmp_path / "levels.jsonl").read_bytes()) if line.get("period") == "1s"]
    assert not any(line["type"] == "level" and "seq" not in line for line in lines_of(done.stdout))
    assert [line["time"] for line in levels] == [
        f"1970-01-01T00:00:{second:02}.000Z" for second in range(1, len(levels) + 1)
    ]
    squares = (SCENE.astype(np.float64)[:, :RATE_HZ] ** 2).mean()
    assert len(levels) == -(-SCENE.shape[1] // RATE_HZ)
    assert levels[0]["lzeq_db"] == (None if squares == 0 else pytest.approx(120 + 10 * np.log10(squares), abs=0.2))
    assert all(line["calibrated"] for line in levels)


def test_a_recording_of_low_rate_has_its_events_without_levels(model: Path, config: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow.wav"
    soundfile.write(slow, np.concatenate([silence(1, 1000), tone(300, 3, 1000), silence(3, 1000)], axis=1).T, 1000)
    metered = tmp_path / "metered.yaml"
    metered.write_text(config.read_text() + "level: {enabled: true}\n")
    plain = soundwatch("replay", slow, "--model", model, "--config", config)
    done = soundwatch("replay", slow, "--model", model, "--config", metered, "-F", "json,level=1")
    assert done.returncode == 0, done.stderr
    assert lines_of(plain.stdout)
    assert [(line["type"], line["time"]) for line in lines_of(done.stdout)] == [
        (line["type"], line["time"]) for line in lines_of(plain.stdout)
    ]
    assert done.stderr.count(b"level_unavailable") == 1
