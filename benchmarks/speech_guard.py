"""Recall of the speech guard on untrained speech, and its false refusals.

    python benchmarks/speech_guard.py --data UrbanSound8K --negatives DIR --teacher YAMNET.tflite --voices DIR

The benchmark runs the daemon's function on 16-bit frames at each recording's rate. The shipped guard was trained on
folds 2 and 3, so fold 1's clips are other recordings. YAMNet, not a person, labels them: speech is a score of at least
0.5 in one window, no speech at most 0.1 in all windows. --voices names a folder of recorded prompts with a folder for
each speaker, such as Debian's packages asterisk-core-sounds-*-g722 in /usr/share/asterisk/sounds: five languages at
16 kHz, of speakers outside the training data. ffmpeg decodes them. espeak-ng's English was not in the training data.
Speech over a clip is as loud as the clip, or 10 dB louder. Writes benchmarks/results/speech_guard.json.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import soxr
from harness import Results, Table, option_parser, table, write_results
from numpy.typing import NDArray

from soundwatch.daemon.clips.ring_buffer import to_int16
from soundwatch.daemon.clips.speech_guard import GUARD_MODEL, SpeechGuard, build_guard
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.training.data.audio.read_audio import RATE_HZ as SPOKEN_RATE_HZ
from soundwatch.training.data.audio.read_audio import Mono, read_mono, rms
from soundwatch.training.data.datasets.negatives import split_negatives
from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from soundwatch.training.fit.setup.machine import processor
from soundwatch.training.model.labels import LABELS
from soundwatch.training.sounds.babble import voices
from soundwatch.training.sounds.speech_dataset import OTHER_MAX_SCORE, SPEECH_MIN_SCORE, SpeechDetector

OUT = Path(__file__).parent / "results" / "speech_guard.json"
RATE_HZ = 16_000
PROMPTS_A_VOICE = 40
SHORTEST_S, LONGEST_S = 1.0, 6.0
OVER_DB = (10.0, 0.0)
LONG_CLIPS = 5  # of one class in a row: about 20 s
PEAK = 0.25


def main() -> None:
    parser = option_parser(__doc__)
    for name in ("--data", "--negatives", "--teacher", "--voices"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--model", type=Path, default=GUARD_MODEL)
    options = parser.parse_args()
    guard = build_guard(load_classifier_file(options.model, "cpu"))
    assert guard is not None, "the model has no label that means speech"
    began_s = time.monotonic()
    talking, silent = sorted_clips(options.data, SpeechDetector(options.teacher))
    others = [sound for sounds in silent.values() for sound in sounds]
    rows = [row("people in fold 1's clips, by YAMNet", "as recorded", guard, talking)]
    for name, said in {"espeak-ng's English": synthetic(), **prompts(options.voices)}.items():
        rows.append(row(name, "alone", guard, said))
        rows += [row(name, f"{level:+.0f} dB over a clip", guard, over(said, others, level)) for level in OVER_DB]
    refusals = [row(label, "no talk", guard, sounds) for label, sounds in silent.items()]
    negatives = [read_mono(clip.path, RATE_HZ) for clip in split_negatives(options.negatives)[1]]
    refusals.append(row("other sounds, held out", "no talk", guard, negatives))
    long = [np.concatenate(part) for sounds in silent.values() for part in _parts(sounds)]
    refusals.append(row(f"{LONG_CLIPS} clips of a class in a row", "no talk", guard, long))
    result = {
        "command": "python benchmarks/speech_guard.py --data DIR --negatives DIR --teacher YAMNET.tflite --voices DIR",
        "machine": processor(),
        "model": guard.classifier.contract.identity,
        "bytes": options.model.stat().st_size,
        "thresholds": guard.classifier.contract.thresholds,
        "seconds": round(time.monotonic() - began_s),
        "speech": rows,
        "others": refusals,
    }
    write_results("speech_guard", result, TABLES["speech_guard"])


def row(what: str, level: str, guard: SpeechGuard, sounds: Sequence[Mono]) -> dict[str, Any]:
    """Return the number of these sounds (S,) that the guard refuses."""
    refused = sum(guard.detects_speech(to_int16(sound[None]), RATE_HZ) for sound in sounds)
    return {"what": what, "level": level, "clips": len(sounds), "refused": refused}


def sorted_clips(data: Path, detector: SpeechDetector) -> tuple[list[Mono], dict[str, list[Mono]]]:
    """Return fold 1's clips with speech, and by class those without."""
    talking: list[Mono] = []
    silent: dict[str, list[Mono]] = {label: [] for label in LABELS}
    for clip in split_by_folds(data, (1,), ()).train:
        sound = read_mono(clip.path, RATE_HZ)
        score = detector.speech_score(sound)
        if score >= SPEECH_MIN_SCORE:
            talking.append(sound)
        elif score <= OTHER_MAX_SCORE and clip.class_id is not None:
            silent[LABELS[clip.class_id]].append(sound)
    return talking, silent


def synthetic() -> list[Mono]:
    """Return excerpts of each of espeak-ng's English voices."""
    rng = np.random.default_rng(1)
    said = []
    for voice in voices():
        sound: NDArray[np.float32] = soxr.resample(voice, SPOKEN_RATE_HZ, RATE_HZ, quality="HQ").astype(np.float32)
        places = rng.integers(0, sound.size - round(LONGEST_S * RATE_HZ), 10)
        said += [at_level(sound[first : first + 4 * RATE_HZ]) for first in places]
    return said


def prompts(folder: Path) -> dict[str, list[Mono]]:
    """Return the first long prompts of each voice, by the voice's folder."""
    found: dict[str, list[Mono]] = {}
    for voice in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
        files = np.random.default_rng(1).permutation(sorted(map(str, voice.rglob("*.g722"))))
        said: list[Mono] = []
        for file in files:
            if len(said) == PROMPTS_A_VOICE:
                break
            sound = decoded(str(file))[: round(LONGEST_S * RATE_HZ)]
            if sound.size >= SHORTEST_S * RATE_HZ and rms(sound) > 1e-3:
                said.append(at_level(sound))
        if said:
            found[f"a person reading, {voice.name}"] = said
    return found


def decoded(file: str) -> Mono:
    """Read a prompt (S,) at `RATE_HZ`."""
    words = ["ffmpeg", "-v", "error", "-f", "g722", "-i", file, "-f", "f32le", "-ac", "1", "-ar", str(RATE_HZ), "-"]
    return np.frombuffer(subprocess.run(words, capture_output=True, check=True).stdout, np.float32)


def over(said: Sequence[Mono], others: Sequence[Mono], level_db: float) -> list[Mono]:
    """Mix speech with clips without speech at a level difference."""
    rng = np.random.default_rng(2)
    mixed = []
    for sound in said:
        other = np.resize(others[int(rng.integers(len(others)))], max(sound.size, 4 * RATE_HZ))
        louder = sound / max(rms(sound), 1e-6) * np.float32(10 ** (level_db / 20)) * max(rms(other), 1e-6)
        first = int(rng.integers(other.size - sound.size + 1))
        both = other.copy()
        both[first : first + sound.size] += louder
        mixed.append(at_level(both))
    return mixed


def at_level(sound: Mono) -> Mono:
    """Scale a sound to a peak of a quarter, as from a microphone in a street."""
    return np.asarray(sound * np.float32(PEAK / max(float(np.abs(sound).max()), 1e-6)), np.float32)


def _parts(sounds: Sequence[Mono]) -> list[list[Mono]]:
    parts = [list(sounds[first : first + LONG_CLIPS]) for first in range(0, len(sounds), LONG_CLIPS)]
    return [part for part in parts if len(part) == LONG_CLIPS]


def guard_speech_table(results: Results) -> Table:
    """Return a row for each kind of talk: how much of it is refused, alone and over clips."""
    kinds = dict.fromkeys(row["what"] for row in results["speech"])
    levels = dict.fromkeys(row["level"] for row in results["speech"])
    found = {(row["what"], row["level"]): row for row in results["speech"]}
    rows = [(kind, *(_refused(found.get((kind, level))) for level in levels)) for kind in kinds]
    note = (
        f"Clips refused, of how many. `{results['model']}`, {results['bytes'] / 1000:.0f} KB, threshold "
        f"{results['thresholds']['speech']:.2f}. `{results['command']}`."
    )
    return table(("speech", *levels), rows, note)


def guard_others_table(results: Results) -> Table:
    """Return a row for each kind of sound without speech: share of refused clips."""
    rows = [(f"{row['what']}", _refused(row)) for row in results["others"]]
    note = "Clips of UrbanSound8K's fold 1 whose YAMNet speech score is at most 0.1 in all windows, by class."
    return table(("no speech", "refused"), rows, note)


def _refused(row: Results | None) -> str:
    return "" if row is None else f"{row['refused'] / max(1, row['clips']):.2f} of {row['clips']}"


TABLES: Final = {
    "speech_guard": {
        "guard-speech": guard_speech_table,
        "guard-others": guard_others_table,
    },
}


if __name__ == "__main__":
    main()
