"""Output of `soundwatch devices --probe` for some seconds of sound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from soundwatch.daemon.capture.microphones.probe import ADVICE, Probe, level_sparkline, octave_levels_db, probe_text
from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.core.records.source import SourceInfo
from support.fakes import tone

RATE_HZ = 16_000
TENTH_NS = 100_000_000


def probed(samples: Samples, arrivals_ns: Sequence[int] = range(0, 30 * TENTH_NS, TENTH_NS)) -> Probe:
    """Return three seconds of blocks of 100 ms."""
    info = SourceInfo("probe", "USB PnP, ALSA", RATE_HZ, samples.shape[0])
    return Probe(info, samples, tuple(arrivals_ns), RATE_HZ // 10)


@pytest.mark.parametrize("frequency_hz", [125, 1000, 4000])
def test_a_tone_fills_its_own_octave_and_no_other(frequency_hz: int) -> None:
    levels = dict(octave_levels_db(tone(frequency_hz, 3, RATE_HZ), RATE_HZ))
    assert levels[frequency_hz] == pytest.approx(-9.03, abs=0.1)
    assert all(db is None or db < -60 for hz, db in levels.items() if hz != frequency_hz)


def test_a_good_microphone_is_reported_as_good() -> None:
    text = probe_text(probed(tone(1000, 3, RATE_HZ)))
    assert text.startswith("USB PnP, ALSA: 16000 Hz, 1 channel\nlevel -9.0 dBFS")
    assert "about 16000 Hz by the clock, longest gap 100 ms, longest run of zeros 0 ms" in text
    assert text.endswith("This microphone can be used.")


def test_faults_are_reported_with_remedies() -> None:
    silent = probe_text(probed(np.zeros((1, 3 * RATE_HZ), np.float32)))
    assert ADVICE["silent"] in silent
    assert "can be used" not in silent
    both = np.repeat(np.clip(10 * tone(1000, 3, RATE_HZ), -1, 1), 2, axis=0)
    clipping = probe_text(probed(both))
    assert ADVICE["clipping"] in clipping
    assert "Both channels are equal" in clipping


def test_zeros_stalls_and_a_wrong_rate_of_a_microphone_are_reported() -> None:
    sound = tone(1000, 3, RATE_HZ)
    holed = sound.copy()
    holed[:, 8000:12_000] = 0
    assert ADVICE["zeros"] in probe_text(probed(holed))
    slow = probe_text(probed(sound, range(0, 60 * TENTH_NS, 2 * TENTH_NS)))
    assert "about 8000 Hz by the clock" in slow
    assert ADVICE["rate"] in slow
    stalled = [number * TENTH_NS // 2 + (number > 15) * 15 * TENTH_NS for number in range(30)]
    assert ADVICE["stalls"] in probe_text(probed(sound, stalled))
    assert "by the clock" not in probe_text(probed(sound, ()))


def test_the_level_over_time_is_a_picture() -> None:
    sound = np.concatenate([np.zeros((1, RATE_HZ // 2), np.float32), tone(1000, 0.5, RATE_HZ)], axis=1)
    assert level_sparkline(sound, RATE_HZ) == "     ▇▇▇▇▇"
