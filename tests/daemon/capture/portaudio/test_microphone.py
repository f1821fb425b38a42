from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from soundwatch.daemon.capture.portaudio.microphone import (
    CallbackBlock,
    Microphone,
    first_sample_age_s,
    overflow_samples,
)
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import read_only
from support.virtual_microphone import CHANNELS, RATE_HZ, VirtualMicrophone

RECORD = Path(__file__).with_name("record.py")
SECOND_NS = 1_000_000_000
SERVER_BLOCK_NS = 200_000_000  # the sound server mixes ahead in blocks, so a sound may stand that much early


def record(server: VirtualMicrophone, *arguments: object) -> subprocess.Popen[str]:
    """Start a recorder, and return after its first block or its end."""
    recorder = subprocess.Popen(
        [sys.executable, str(RECORD), *map(str, arguments)],
        env=os.environ | server.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert recorder.stdout is not None
    recorder.stdout.readline()
    return recorder


def end_of(recorder: subprocess.Popen[str]) -> tuple[int, str]:
    _, stderr = recorder.communicate(timeout=60)
    assert "Traceback" not in stderr
    return recorder.returncode, stderr


def noise(path: Path, seconds: float) -> NDArray[np.float32]:
    """Write white noise of 16 bits to a file, and return it as (C, S)."""
    steps = np.random.default_rng(7).integers(-8000, 8000, (round(seconds * RATE_HZ), CHANNELS), np.int16)
    soundfile.write(path, steps, RATE_HZ, subtype="PCM_16")
    return (steps.T / 32768).astype(np.float32)


def recorded_on_clock(path: Path) -> NDArray[np.float32]:
    """Return a recording as (C, S) on its sample clock; lost samples are NaN."""
    found = np.load(path)
    timeline = np.full((CHANNELS, found["numbers"][-1] + 1), np.nan, np.float32)
    timeline[:, found["numbers"]] = found["samples"]
    return timeline


def offset_of(played: NDArray[np.float32], recorded: NDArray[np.float32]) -> int:
    """Return the position of the played sound in the recorded one."""
    start = played[0, :2000]
    whole = np.nan_to_num(recorded[0])
    size = 1 << (len(whole) + len(start)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(start, size)), size)
    return int(likeness[: len(whole)].argmax())


@pytest.mark.slow
@pytest.mark.microphone
@pytest.mark.parametrize("device", ["default", "pulse:vmic.monitor"])
def test_played_sound_is_recorded_bit_for_bit_with_correct_times(
    virtual_microphone: VirtualMicrophone, device: str, tmp_path: Path
) -> None:
    played = noise(tmp_path / "noise.wav", 2.0)
    recorder = record(virtual_microphone, device, 4, tmp_path / "recorded.npz")
    before_ns = time.time_ns()
    virtual_microphone.play(tmp_path / "noise.wav")
    after_ns = time.time_ns()
    assert end_of(recorder) == (0, "")
    recorded = recorded_on_clock(tmp_path / "recorded.npz")
    found = np.load(tmp_path / "recorded.npz")
    assert found["lost_samples"] == 0
    at = offset_of(played, recorded)
    np.testing.assert_array_equal(recorded[:, at : at + played.shape[1]], played)
    onset_ns = int(found["start_unix_ns"]) + at * SECOND_NS // RATE_HZ
    assert before_ns - SERVER_BLOCK_NS < onset_ns < after_ns - 2 * SECOND_NS + SERVER_BLOCK_NS


@pytest.mark.slow
@pytest.mark.microphone
def test_samples_that_find_the_queue_full_are_counted_and_the_rest_keep_their_time(
    virtual_microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    played = noise(tmp_path / "noise.wav", 3.0)
    recorder = record(virtual_microphone, "default", 5, tmp_path / "recorded.npz", 3, 1.0)
    virtual_microphone.play(tmp_path / "noise.wav")
    assert end_of(recorder) == (0, "")
    recorded = recorded_on_clock(tmp_path / "recorded.npz")
    lost = np.isnan(recorded[0])
    assert 0 < np.load(tmp_path / "recorded.npz")["lost_samples"] == lost.sum()
    tail = played[:, 2 * RATE_HZ :]  # played after the nap
    at = offset_of(tail, recorded)
    np.testing.assert_array_equal(recorded[:, at : at + tail.shape[1]], tail)
    first = at - played.shape[1] + tail.shape[1]
    expected = np.where(lost[first:at], np.nan, played[:, : at - first])
    np.testing.assert_array_equal(recorded[:, first:at], expected)


@pytest.mark.slow
@pytest.mark.microphone
def test_a_device_that_is_not_there_is_an_error_that_lists_those_that_are(
    virtual_microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    code, stderr = end_of(record(virtual_microphone, "USB PnP", 1, tmp_path / "recorded.npz"))
    assert code == 4
    assert "No input device matches 'USB PnP'" in stderr
    assert "--device pulse\n" in stderr
    assert "--device default\n" in stderr


@pytest.mark.slow
@pytest.mark.microphone
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("default", "default, ALSA stopped delivering"),
        ("pulse", "pulse, vmic.monitor ended: the sound server stopped delivering"),
    ],
)
def test_the_death_of_a_sound_server_is_an_error(
    virtual_microphone: VirtualMicrophone, device: str, message: str, tmp_path: Path
) -> None:
    recorder = record(virtual_microphone, device, 60, tmp_path / "recorded.npz")
    virtual_microphone.kill()
    code, stderr = end_of(recorder)
    assert code == 4
    assert message in stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.microphone
@pytest.mark.parametrize("device", ["default", "pulse"])
def test_a_server_that_hangs_is_an_error_and_the_process_still_ends(
    virtual_microphone: VirtualMicrophone, device: str, tmp_path: Path
) -> None:
    recorder = record(virtual_microphone, device, 60, tmp_path / "recorded.npz")
    virtual_microphone.stop()
    code, stderr = end_of(recorder)
    assert code == 4
    assert "has delivered nothing for 2" in stderr


@pytest.mark.slow
@pytest.mark.microphone
@pytest.mark.parametrize(
    ("device", "message"),
    [("default", "the sound system does not answer"), ("pulse:yard", "the sound server does not answer")],
)
def test_a_server_that_hangs_before_the_start_is_an_error_and_the_process_still_ends(
    virtual_microphone: VirtualMicrophone, device: str, message: str, tmp_path: Path
) -> None:
    virtual_microphone.stop()
    code, stderr = end_of(record(virtual_microphone, device, 60, tmp_path / "recorded.npz"))
    assert code == 4
    assert message in stderr


def test_without_portaudio_the_message_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SourceError, match="sudo apt-get install libportaudio2"):
        Microphone("mic0")


@pytest.mark.parametrize("reported_s", [0.0, -3.0, 1e9, float("nan"), 0.05])
def test_an_unbelievable_age_of_the_first_sample_is_replaced_by_the_blocks_length(reported_s: float) -> None:
    assert first_sample_age_s(reported_s, 0.1) == 0.1


def test_a_believable_age_of_the_first_sample_is_taken() -> None:
    assert first_sample_age_s(0.35, 0.1) == 0.35


def delivery(adc_s: float, arrival_s: float) -> CallbackBlock:
    return CallbackBlock(read_only(np.zeros((1, 4800), np.float32)), 0, True, adc_s, round(arrival_s * 1e9))


def test_an_overflow_is_as_long_as_the_jump_of_the_drivers_time() -> None:
    assert overflow_samples(delivery(10.0, 5.0), delivery(10.35, 5.35), 48_000) == 12_000


def test_an_overflow_cannot_be_longer_than_the_time_since_the_last_delivery() -> None:
    assert overflow_samples(delivery(10.0, 5.0), delivery(4000.0, 5.25), 48_000) == 12_000


@pytest.mark.parametrize("adc_s", [9.0, float("nan")])
def test_a_drivers_time_that_runs_back_estimates_no_loss(adc_s: float) -> None:
    assert overflow_samples(delivery(10.0, 5.0), delivery(adc_s, 5.1), 48_000) == 0
