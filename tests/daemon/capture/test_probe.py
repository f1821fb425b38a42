"""What `soundwatch devices --probe` says of some seconds of sound."""

from __future__ import annotations

import numpy as np
import pytest

from doubles import tone
from soundwatch.daemon.capture.probe import ADVICE, bands_db, probe_text
from soundwatch.daemon.types import SourceInfo

RATE_HZ = 16_000
INFO = SourceInfo("probe", "USB PnP, ALSA", RATE_HZ, 1)


@pytest.mark.parametrize("frequency_hz", [125, 1000, 4000])
def test_a_tone_fills_its_own_octave_and_no_other(frequency_hz: int) -> None:
    levels = dict(bands_db(tone(frequency_hz, 3, RATE_HZ), RATE_HZ))
    assert levels[frequency_hz] == pytest.approx(-9.03, abs=0.1)
    assert all(db is None or db < -60 for hz, db in levels.items() if hz != frequency_hz)


def test_a_good_microphone_is_said_to_be_one() -> None:
    text = probe_text(INFO, tone(1000, 3, RATE_HZ))
    assert text.startswith("USB PnP, ALSA: 16000 Hz, 1 channel\nlevel -9.0 dBFS")
    assert text.endswith("This microphone can be used.")


def test_what_is_wrong_is_said_with_what_to_do() -> None:
    silent = probe_text(INFO, np.zeros((1, 3 * RATE_HZ), np.float32))
    assert ADVICE["silent"] in silent
    assert "can be used" not in silent
    both = np.repeat(np.clip(10 * tone(1000, 3, RATE_HZ), -1, 1), 2, axis=0)
    clipping = probe_text(SourceInfo("probe", "USB", RATE_HZ, 2), both)
    assert ADVICE["clipping"] in clipping
    assert "Both channels are the same" in clipping
