"""Labels that mean speech, and the rejection of clips by their scores."""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from soundwatch.daemon.capture.demo.scene import demo_scene
from soundwatch.daemon.clips.build import build_guards
from soundwatch.daemon.clips.ring_buffer import to_int16
from soundwatch.daemon.clips.speech_guard import GUARD_MODEL, SpeechGuard, build_guard, speech_label_ids
from soundwatch.daemon.config.config import ClipsConfig
from soundwatch.daemon.core.errors import ConfigError, ModelError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.inference.classifier import load_classifier_file
from support.fakes import SMALL_CONTRACT, BandClassifier, silence, tone

LABELS = ("siren", "speech", "Child speech, kid speaking", "whispering", "speechless_dog", "talk", "children_playing")


@dataclass(frozen=True, slots=True)
class Vector:
    """A classifier that scores each window by a row of a table."""

    rows: list[list[float]]
    contract: ModelContract
    provider: str = "DoubleProvider"
    seen: list[int] = field(default_factory=list)

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        first = len(self.seen)
        self.seen.extend(range(len(mel_db)))
        return np.array([self.rows[min(first + row, len(self.rows) - 1)] for row in range(len(mel_db))], np.float32)


def vector(labels: tuple[str, ...], *rows: list[float]) -> Vector:
    contract = msgspec.structs.replace(SMALL_CONTRACT, labels=labels, thresholds=dict.fromkeys(labels, 0.5))
    return Vector(list(rows), contract)


def test_speech_labels_are_found_by_their_words() -> None:
    assert [LABELS[place] for place in speech_label_ids(LABELS)] == [
        "speech",
        "Child speech, kid speaking",
        "whispering",
        "talk",
    ]


def test_speech_counts_however_many_other_classes_score_higher() -> None:
    labels = (*(f"class{number}" for number in range(40)), "conversation")
    guard = build_guard(vector(labels, [0.99] * 40 + [0.5]))
    assert guard is not None
    assert guard.detects_speech(to_int16(tone(440, 1.0)), 8000)


def test_one_window_of_many_is_enough_and_every_window_counts() -> None:
    labels = ("siren", "speech")
    quiet, talk = [0.9, 0.49], [0.1, 0.51]
    sound = to_int16(tone(440, 1.2))  # nine windows of 0.4 s, a hop of 0.1 s apart, and what is at the end
    last = vector(labels, *[quiet] * 8, talk)
    assert SpeechGuard(last, (1,)).detects_speech(sound, 8000)
    none = vector(labels, quiet)
    assert not SpeechGuard(none, (1,)).detects_speech(sound, 8000)
    assert len(none.seen) >= 9


def test_a_clip_shorter_than_a_window_is_judged_too() -> None:
    assert SpeechGuard(vector(("speech",), [0.9]), (0,)).detects_speech(to_int16(tone(440, 0.05)), 8000)


def test_a_model_without_a_speech_label_is_no_guard() -> None:
    assert build_guard(BandClassifier()) is None


def test_a_guard_that_is_named_must_know_speech_and_must_be_there() -> None:
    with pytest.raises(ConfigError, match="has no label for speech"):
        build_guards(ClipsConfig(speech_guard=str(load_classifier_file("tutorial").path)), BandClassifier())
    with pytest.raises(ModelError, match="There is no model"):
        build_guards(ClipsConfig(speech_guard="nowhere.onnx"), BandClassifier())


def test_the_guard_can_be_left_out() -> None:
    assert build_guards(ClipsConfig(speech_guard=False), BandClassifier()) == []


def shipped() -> SpeechGuard:
    guard = build_guard(load_classifier_file(GUARD_MODEL, "cpu"))
    assert guard is not None
    return guard


@pytest.mark.slow
def test_the_shipped_guard_is_small_and_refuses_no_silence_noise_or_siren() -> None:
    guard = shipped()
    assert GUARD_MODEL.stat().st_size < 100_000
    assert [guard.classifier.contract.labels[place] for place in guard.speech_ids] == ["speech"]
    noise = np.random.default_rng(1).normal(0, 0.05, (1, 16_000 * 6)).astype(np.float32)
    for sound in (silence(6, 16_000), noise, demo_scene(16_000, 16.0)):
        assert not guard.detects_speech(to_int16(sound), 16_000)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
@pytest.mark.parametrize("voice", ["en-gb+m1", "en-us+f2", "en-us+f4"])
def test_the_shipped_guard_rejects_speech_in_an_untrained_language(voice: str) -> None:
    words = ["espeak-ng", "--stdout", "-v", voice, "Have you seen the new shop on the corner? They sell old radios."]
    spoken = subprocess.run(words, capture_output=True, check=True).stdout
    samples, rate_hz = soundfile.read(io.BytesIO(spoken), dtype="float32")
    assert shipped().detects_speech(to_int16(samples[None] / 4), rate_hz)
