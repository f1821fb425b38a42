"""Faults of a data set are reported before training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from soundwatch.daemon.core.errors import DataError
from soundwatch.training.cli.data import data as data_command
from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from support.cli_runner import soundwatch
from support.labeled_folder import RATE_HZ, write_classes, write_sound


def _check(root: Path, *options: str) -> Result:
    return CliRunner().invoke(data_command, ["check", str(root), *options])


def _findings(root: Path, layout: str = "folders") -> dict[str, tuple[str, int]]:
    """Kind to severity and count; the command fails just where there is an error."""
    done = _check(root, "--layout", layout, "--json")
    found = json.loads(done.stdout)["findings"]
    errors = sum(item["severity"] == "error" for item in found)
    assert isinstance(done.exception, DataError) == bool(errors), done.exception
    if errors:
        assert f"cannot be trained on: {errors} of its findings are errors" in str(done.exception)
    return {item["kind"]: (item["severity"], item["count"]) for item in found}


def test_a_sound_data_set_has_no_findings(tmp_path: Path) -> None:
    done = _check(write_classes(tmp_path / "sounds"), "--layout", "folders")
    assert done.exit_code == 0, done.exception
    assert "No faults found." in done.stdout
    assert "8000 Hz: 30" in done.stdout


def test_everything_is_counted(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "sounds")
    soundfile.write(root / "bell" / "stereo.flac", np.random.default_rng(0).normal(0, 0.1, (96000, 2)), 48000)
    report = json.loads(_check(root, "--layout", "folders", "--json").stdout)
    assert (report["listed"], report["files"], report["minutes"]) == (31, 31, 0.28)
    assert report["classes"]["bell"] == {"files": 11, "recordings": 6, "minutes": 0.12, "folds": {}}
    assert report["rates_hz"] == {"8000": 30, "48000": 1}
    assert report["channels"] == {"1": 30, "2": 1}
    assert report["encodings"] == {"FLAC PCM_16": 1, "WAV PCM_16": 30}
    assert report["durations_s"] == [0.5, 0.5, 2.0]


def _write(name: str, samples: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Callable[[Path], object]:
    return lambda root: soundfile.write(root / name, samples, RATE_HZ, "FLOAT")


def _change_size(name: str, data_bytes: int) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        content = bytearray((root / name).read_bytes())
        content[40:44] = data_bytes.to_bytes(4, "little")
        (root / name).write_bytes(content)

    return change


def _copy_to(name: str) -> Callable[[Path], object]:
    return lambda root: shutil.copy(root / "bell" / "bell0-1.wav", root / name)


NOISE = np.random.default_rng(0).normal(0, 0.1, 4000)


@pytest.mark.parametrize(
    ("spoil", "findings"),
    [
        (lambda root: (root / "bell" / "x.wav").write_bytes(b"RIFF"), {"unreadable": ("error", 1)}),
        (_write("bell/x.wav", np.zeros(0)), {"empty": ("error", 1)}),
        (_write("bell/x.wav", np.array([0.0, np.nan, 0.1])), {"not finite": ("error", 1)}),
        (_write("bell/x.wav", np.zeros(4000)), {"silent": ("warning", 1)}),
        (_write("bell/x.wav", 1e-3 * NOISE), {"nearly silent": ("warning", 1)}),
        (_write("bell/x.wav", np.clip(30 * NOISE, -1, 1)), {"clipped": ("warning", 1)}),
        (_write("bell/x.wav", np.stack([NOISE, -NOISE], axis=1)), {"opposite channels": ("warning", 1)}),
        (_write("bell/x.wav", np.stack([NOISE, 0 * NOISE], axis=1)), {"dead channel": ("warning", 1)}),
        (_write("bell/x.wav", np.stack([NOISE, *[0 * NOISE] * 5], axis=1)), {"dead channel": ("warning", 1)}),
        (_write("bell/x.wav", np.stack([*[NOISE] * 5, 0 * NOISE], axis=1)), {}),
        (_write("bell/x.wav", 300 * NOISE), {"beyond full scale": ("warning", 1)}),
        (_write("bell/x.wav", np.append(NOISE, 1e30)), {"beyond full scale": ("error", 1)}),
        (_write("bell/x.wav", 3e4 * NOISE), {"beyond full scale": ("error", 1)}),
        (_write("bell/x.wav", NOISE[:1]), {"very short": ("warning", 1)}),
        (_change_size("bell/bell0-1.wav", 1_000), {"longer than declared": ("warning", 1)}),
        (_change_size("bell/bell0-1.wav", 1_000_000), {"shorter than declared": ("error", 1)}),
        (_copy_to("door/bell0-3.wav"), {"two classes": ("error", 1)}),
        (_copy_to("bell/copy.wav"), {"leak": ("error", 1)}),
        (_copy_to("bell/bell0-3.wav"), {"copies": ("warning", 1)}),
        (lambda root: (root / "bell" / "notes.txt").write_text(""), {"no recording": ("warning", 1)}),
        (lambda root: write_sound(root / "whistle" / "one.wav"), {"too few": ("error", 1)}),
    ],
)
def test_each_fault_of_own_sounds_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], findings: dict[str, tuple[str, int]]
) -> None:
    root = write_classes(tmp_path / "sounds")
    spoil(root)
    assert _findings(root) == findings


def test_a_copy_in_another_encoding_is_found(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "sounds")
    samples, rate_hz = soundfile.read(root / "bell" / "bell0-1.wav")
    soundfile.write(root / "bell" / "packed.flac", samples, rate_hz)
    assert _findings(root) == {"leak": ("error", 1)}


def test_urbansound8k_is_held_against_its_metadata(tiny_data: Path) -> None:
    shutil.rmtree(tiny_data / "audio" / "fold2")
    shutil.copy(tiny_data / "audio" / "fold1" / "100-0-0-0.wav", tiny_data / "audio" / "fold1" / "stray.wav")
    # The fixture's tones are the same in every fold: one leak a class but that whose third clip is missing.
    found = _findings(tiny_data, "urbansound8k")
    assert found == {
        "absent": ("warning", 1),
        "missing": ("warning", 1),
        "not listed": ("warning", 1),
        "leak": ("error", 9),
    }


def test_a_clip_that_the_system_refuses_to_look_at_is_refused(tiny_data: Path) -> None:
    table = tiny_data / "metadata" / "UrbanSound8K.csv"
    first = table.read_text().splitlines()[1].split(",")[0]
    table.write_text(table.read_text().replace(first, f"{'9' * 300}-1-0-0.wav"))
    assert "cannot be looked at: File name too long" in str(_check(tiny_data).exception)
    with pytest.raises(DataError, match="cannot be looked at: File name too long"):
        split_by_folds(tiny_data, None, ())


def test_recordings_in_two_folds_are_reported_as_excluded_from_training(tiny_data: Path) -> None:
    rng = np.random.default_rng(0)
    for path in (tiny_data / "audio").rglob("*.wav"):
        soundfile.write(path, rng.normal(0, 0.1, 4000), RATE_HZ)
    metadata = tiny_data / "metadata" / "UrbanSound8K.csv"
    metadata.write_text(metadata.read_text().replace("205-5-0-0.wav", "105-5-0-9.wav"))
    (tiny_data / "audio" / "fold2" / "205-5-0-0.wav").rename(tiny_data / "audio" / "fold2" / "105-5-0-9.wav")
    assert _findings(tiny_data, "urbansound8k") == {"missing": ("warning", 1), "two folds": ("warning", 1)}


def test_a_data_set_without_any_clip_is_wrong(tiny_data: Path) -> None:
    shutil.rmtree(tiny_data / "audio")
    assert _findings(tiny_data, "urbansound8k") == {"absent": ("error", 3)}


def test_the_other_layout_is_pointed_to(tmp_path: Path) -> None:
    done = _check(write_classes(tmp_path / "sounds"))
    assert "add --layout folders" in str(done.exception)


@pytest.mark.slow
def test_the_program_ends_with_the_code_for_wrong_data(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "sounds")
    (root / "bell" / "broken.wav").write_bytes(b"RIFF")
    done = soundwatch("data", "check", root, "--layout", "folders")
    assert done.returncode == DataError.exit_code
    assert "bell/broken.wav" in done.stdout.decode()
    assert (
        done.stderr.decode().splitlines()[-1].endswith("1 of its findings are errors. Correct them, and check again.")
    )


@pytest.mark.slow
@pytest.mark.data
def test_the_real_clips_have_nothing_that_makes_training_wrong(shared_data: Path, tmp_path: Path) -> None:
    negatives = shared_data / "negatives" / "esc10"
    assert not {kind for kind, (severity, _) in _findings(negatives).items() if severity == "error"}
