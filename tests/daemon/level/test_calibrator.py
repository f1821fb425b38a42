"""The calibrator's tone: accepted where it is steady and of 1 kHz, refused with what was found otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.cli import main
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.level.calibrator import measure_tone
from support.cli_runner import soundwatch
from support.fakes import silence, tone

RATE_HZ = 16_000


def blocks(samples: np.ndarray) -> Iterator[Block]:
    for first in range(0, samples.shape[1], 1600):
        yield Block(samples[:, first : first + 1600].astype(np.float32), RATE_HZ, first)


def calibrator(hz: float = 1000.0, amplitude: float = 0.1) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.001, (1, 5 * RATE_HZ))
    return np.asarray(tone(hz, 5, RATE_HZ, amplitude) + noise)


@pytest.mark.parametrize("hz", [985.0, 1000.0, 1000.4, 1015.0])
def test_the_tone_of_a_calibrator_is_measured(hz: float) -> None:
    found = measure_tone(blocks(calibrator(hz)), 3)
    assert found.tone_hz == pytest.approx(hz, abs=0.5)
    assert found.level_dbfs == pytest.approx(-23.0, abs=0.1)
    assert found.seconds == 3


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (calibrator(250), "There is no tone of 1 kHz: a tone of 250 Hz"),
        (calibrator(amplitude=1.2).clip(-1, 1), "reaches full scale"),
        (calibrator() * np.linspace(1, 0.5, 5 * RATE_HZ), "not steady: its level changes by"),
        (silence(5, RATE_HZ), "digital silence"),
        (np.random.default_rng(1).normal(0, 0.1, (1, 5 * RATE_HZ)).clip(-0.9, 0.9), "There is no tone of 1 kHz"),
        (calibrator()[:, : 2 * RATE_HZ], "ended after 2 s; 4 s are needed"),
    ],
    ids=["250 Hz", "clipped", "falling", "silence", "noise", "short"],
)
def test_anything_else_is_refused_with_what_was_found(samples: np.ndarray, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        measure_tone(blocks(samples), 3)


def test_a_sound_of_too_low_a_rate_is_refused_at_once() -> None:
    with pytest.raises(SourceError, match=r"sampling rate of 4000 Hz; levels need 5000 Hz or more\. Open the source"):
        measure_tone([Block(np.zeros((1, 400), np.float32), 4000, 0)], 3)


@pytest.mark.slow
def test_the_command_prints_the_offset_and_refuses_other_sounds(tmp_path: Path) -> None:
    for name, samples in (("tone", calibrator()), ("noise", calibrator(300))):
        soundfile.write(tmp_path / f"{name}.wav", samples.T, RATE_HZ, subtype="FLOAT")
    done = soundwatch("calibrate-level", "--device", tmp_path / "tone.wav", "--level", "114", "--seconds", "3")
    assert done.returncode == 0, done.stderr
    assert b"level_offset_db: 137.0" in done.stdout
    refused = soundwatch("calibrate-level", "--device", tmp_path / "noise.wav", "--seconds", "3")
    assert refused.returncode == 4
    assert b"There is no tone of 1 kHz: a tone of 300 Hz" in refused.stderr


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ((1.0, 0.5), r"2 channels differ by 6\.0 dB; channel 1 is the loudest\..* `channels: left`"),
        ((0.8, 1.0), r"2 channels differ by 1\.9 dB; channel 2 is the loudest\..* `channels: right`"),
        ((0.0, 1.0), r"2 channels differ and one is silent; channel 2 is the loudest"),
        ((0.5, 0.5, 1.0), r"3 channels differ by 6\.0 dB; channel 3 is the loudest"),
    ],
)
def test_channels_of_different_levels_are_refused_with_the_one_to_select(
    channels: tuple[float, ...], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        measure_tone(blocks(np.array(channels)[:, None] * calibrator()), 3)


def test_channels_within_one_decibel_are_measured() -> None:
    assert measure_tone(blocks(np.array([[1.0], [0.95]]) * calibrator()), 3).seconds == 3


@pytest.mark.parametrize("level", ["nan", "inf", "-inf", "49.9", "150.1", "0"])
def test_a_level_that_no_calibrator_has_is_refused(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["calibrate-level", "--device", "unused.wav", f"--level={level}"])
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
