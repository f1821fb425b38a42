"""The documentation's pictures, drawn from real runs of the program over the demo scene.

Usage: python scripts/pictures.py [--model MODEL]

`docs/pictures/demo.png` is the mel spectrogram of the scene, its sounds, and the events of `soundwatch replay`.
`docs/pictures/signal-path.png` is one window of the same scene at every stage of the path.

Conventions: a white card that is read in light and dark pages alike; colors of Okabe and Ito and
matplotlib's viridis, which color-blind people can distinguish; less than 300 KB a picture.
Does not: choose a flattering scene. The true sounds are drawn behind the events.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import soundfile
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from picture_style import BLUE, FAINT, INK, ORANGE, STYLE

from soundwatch.daemon.capture.demo.scene import DEMO_SOUNDS, RATE_HZ, ROUND_S, demo_scene
from soundwatch.daemon.config.config import DetectionConfig
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.core.records.channels import match_channels
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.frontend.mel import hz_to_mel, mel_db, stft_power
from soundwatch.daemon.frontend.resample import resample_clip
from soundwatch.daemon.inference.classifier import LoadedModel, load_classifier_file

PICTURES: Final = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SOUNDWATCH: Final = str(Path(sys.executable).with_name("soundwatch"))
SHOWN = next(sound for sound in DEMO_SOUNDS if sound.label == "dog_bark")
ZOOMED_S: Final = 0.002
TICKS_HZ: Final = (200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)


def main() -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="urban", help="a shipped model or a file [default: urban]")
    classifier = load_classifier_file(parser.parse_args().model)
    mpl.use("Agg")
    PICTURES.mkdir(exist_ok=True)
    scene = demo_scene(RATE_HZ, ROUND_S)
    lines = replay(classifier.path, scene)
    with plt.rc_context(STYLE):
        _save(draw_demo(classifier, scene, lines), "demo.png")
        _save(draw_path(classifier, scene, lines), "signal-path.png")


def _save(figure: Figure, name: str) -> None:
    """Write a picture without naming what drew it, so that the same picture is the same file."""
    figure.savefig(PICTURES / name, dpi=100, metadata={"Software": None}, pil_kwargs={"optimize": True})
    print(PICTURES / name, (PICTURES / name).stat().st_size // 1000, "KB")


def replay(model: Path, scene: Samples) -> list[dict[str, Any]]:
    """Return the lines that `soundwatch replay` prints for the scene."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.wav"
        soundfile.write(path, scene.T, RATE_HZ, subtype="PCM_16")
        Path(folder, "config.yaml").write_text("node: balcony\n", encoding="utf-8")
        command = [SOUNDWATCH, "replay", str(path), "--model", str(model), "--config", f"{folder}/config.yaml"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return [json.loads(line) for line in done.stdout.splitlines()]


def since_start_s(utc: str) -> float:
    """Return a replay's time in seconds; a replay starts at 1970-01-01T00:00:00Z and takes less than an hour."""
    return int(utc[14:16]) * 60 + float(utc[17:-1])


def is_there(line: dict[str, Any]) -> bool:
    """Return True if the scene has a sound of the class during the event."""
    onset_s, offset_s = since_start_s(line["onset"]), since_start_s(line["offset"])
    return any(
        sound.label == line["class"] and sound.onset_s < offset_s and onset_s < sound.offset_s for sound in DEMO_SOUNDS
    )


def draw_demo(classifier: LoadedModel, scene: Samples, lines: list[dict[str, Any]]) -> Figure:
    """Draw the scene's mel decibels, and below them its sounds and the detected events."""
    lines = [line for line in lines if line["type"] in ("start", "end")]
    labels = list(dict.fromkeys([sound.label for sound in DEMO_SOUNDS] + [line["class"] for line in lines]))
    figure, (above, below) = plt.subplots(
        2,
        1,
        sharex=True,
        figsize=(9.6, 3.4 + 0.3 * len(labels)),
        height_ratios=(2.1, 0.6 + 0.3 * len(labels)),
        layout="constrained",
    )
    spec = classifier.contract.features
    _draw_mel(figure, above, mel_db(resample_clip(scene, RATE_HZ, spec), spec)[0], spec, ROUND_S)
    above.set_title("The demo scene: mel spectrogram, the input of the model", fontweight="bold")
    _draw_events(figure, below, lines, labels)
    below.set_title("Sounds in the scene, and the events of soundwatch", fontweight="bold")
    below.set_xlabel("seconds")
    return figure


def _draw_events(figure: Figure, axes: Axes, lines: list[dict[str, Any]], labels: list[str]) -> None:
    """Draw sounds as faint bars, events as colored bars, and a mark at the time of each `start` line."""
    for sound in DEMO_SOUNDS:
        axes.barh(labels.index(sound.label), sound.offset_s - sound.onset_s, 0.86, sound.onset_s, color=FAINT)
    for line in lines:
        row = labels.index(line["class"])
        if line["type"] == "start":
            axes.plot(since_start_s(line["time"]), row - 0.36, marker="v", color=INK, markersize=4.5, zorder=3)
            continue
        onset_s, offset_s = since_start_s(line["onset"]), since_start_s(line["offset"])
        axes.barh(row, offset_s - onset_s, 0.4, onset_s, color=BLUE if is_there(line) else ORANGE)
        late = offset_s > ROUND_S - 3
        place: dict[str, Any] = {"x": onset_s - 0.3, "ha": "right"} if late else {"x": offset_s + 0.3, "ha": "left"}
        axes.text(y=row, s=f"{line['peak_score']:.2f}", va="center", fontsize=8, **place)
    axes.set(yticks=range(len(labels)), yticklabels=labels, ylim=(len(labels) - 0.4, -0.6), xlim=(0, ROUND_S))
    axes.tick_params(axis="y", length=0)
    events = [line for line in lines if line["type"] == "end"]
    handles: list[Any] = [
        Patch(color=FAINT, label="sound in the scene"),
        Patch(color=BLUE, label="event, with its peak score"),
    ]
    if not all(map(is_there, events)):
        handles.append(Patch(color=ORANGE, label="false event"))
    handles.append(Line2D([], [], color=INK, marker="v", linestyle="", markersize=4.5, label="time of the start line"))
    figure.legend(handles=handles, loc="outside lower right", ncols=len(handles))


def draw_path(classifier: LoadedModel, scene: Samples, lines: list[dict[str, Any]]) -> Figure:
    """Draw one window at every stage, and the stage after it over many windows."""
    spec = classifier.contract.features
    sound = resample_clip(scene, RATE_HZ, spec)  # (C, S)
    number = -(-round(SHOWN.onset_s * spec.rate_hz) // spec.window_hop_samples)  # the first that starts in the sound
    first = number * spec.window_hop_samples
    window = sound[:, first : first + spec.window_samples]
    start_s = first / spec.rate_hz
    figure, axes = plt.subplots(4, 2, figsize=(9.6, 10.8), layout="constrained")
    _draw_capture(axes[0, 0], scene, start_s, spec)
    _draw_resampled(axes[0, 1], scene, window, start_s, spec)
    _draw_windows(axes[1, 0], sound, number, spec)
    _draw_stft(figure, axes[1, 1], window, spec)
    decibels = mel_db(window, spec)  # (C, M, T)
    _draw_mel(figure, axes[2, 0], decibels[0], spec, spec.window_ms / 1000)
    axes[2, 0].set_xlabel("seconds")
    axes[2, 0].set_title(f"4  mel: {' x '.join(map(str, decibels.shape))} values, {spec.top_db:g} dB deep at most")
    _draw_scores(axes[2, 1], classifier, decibels)
    _draw_decision(axes[3, 0], classifier, sound, lines)
    _draw_line(axes[3, 1], next(line for line in lines if line.get("class") == SHOWN.label))
    return figure


def _draw_capture(axes: Axes, scene: Samples, start_s: float, spec: FeatureSpec) -> None:
    """Draw the window's part of the source."""
    first, size = round(start_s * RATE_HZ), RATE_HZ * spec.window_ms // 1000
    axes.plot(np.arange(size) / RATE_HZ, scene[0, first : first + size], color=BLUE, linewidth=0.4)
    axes.set(xlim=(0, size / RATE_HZ), ylim=(-1, 1), xlabel="seconds", ylabel="full scale = 1")
    axes.set_title(f"1  capture: {scene.shape[0]} channel, {size:,} samples at {RATE_HZ:,} Hz")


def _draw_resampled(axes: Axes, scene: Samples, window: Samples, start_s: float, spec: FeatureSpec) -> None:
    """Draw the loudest moment, before and after resampling."""
    edge = spec.rate_hz // 100
    peak_s = (edge + int(np.abs(window[0, edge:-edge]).argmax())) / spec.rate_hz
    mono = match_channels(scene, 1)[0]
    for rate_hz, signal, offset_s, style in (
        (RATE_HZ, mono, start_s, {"color": INK, "marker": ".", "linewidth": 0.6, "markersize": 4}),
        (spec.rate_hz, window[0], 0.0, {"color": ORANGE, "marker": "o", "linestyle": "", "markerfacecolor": "none"}),
    ):
        since, until = ((peak_s + side * ZOOMED_S / 2 + offset_s) * rate_hz for side in (-1, 1))
        index = np.arange(int(np.ceil(since)), int(until) + 1)
        time_ms = (index / rate_hz - offset_s - peak_s + ZOOMED_S / 2) * 1000
        axes.plot(time_ms, signal[index], label=f"{rate_hz:,} Hz", **style)
    axes.set(xlim=(0, ZOOMED_S * 1000), xlabel=f"milliseconds, from {peak_s - ZOOMED_S / 2:.3f} s on")
    axes.margins(y=0.2)
    axes.legend(loc="best")
    axes.set_title(f"2  resample: {window.shape[0]} x {window.shape[1]:,} samples")


def _draw_windows(axes: Axes, sound: Samples, number: int, spec: FeatureSpec) -> None:
    """Draw the windows around the shown one, over the sound that they are cut from."""
    hop_s, length_s = spec.window_hop_samples / spec.rate_hz, spec.window_ms / 1000
    first_s, last_s = (number - 3) * hop_s, (number + 3) * hop_s + length_s
    signal = sound[0, round(first_s * spec.rate_hz) : round(last_s * spec.rate_hz)]
    axes.plot(first_s + np.arange(signal.size) / spec.rate_hz, signal, color=INK, linewidth=0.3)
    for item in range(-3, 4):
        color = BLUE if item == 0 else FAINT
        axes.barh(1.2 + 0.22 * (item + 3), length_s, 0.16, (number + item) * hop_s, color=color)
    axes.set(xlim=(first_s, last_s), ylim=(-1, 2.75), yticks=(-1, 0, 1), xlabel="seconds of the scene")
    axes.set_title(f"3  window: {length_s:g} s, one every {hop_s:g} s; the blue one is shown")


def _draw_stft(figure: Figure, axes: Axes, window: Samples, spec: FeatureSpec) -> None:
    """Draw the power that the mel bands are summed from."""
    power = stft_power(window, spec)[0].T  # (F, T)
    decibels = 10 * np.log10(np.maximum(power, spec.power_floor))
    extent = (0, spec.window_ms / 1000, 0, spec.rate_hz / 2000)
    low = decibels.max() - (spec.top_db or 80)
    image = axes.imshow(decibels, origin="lower", aspect="auto", extent=extent, vmin=low, interpolation="none")
    figure.colorbar(image, ax=axes, label="dB", pad=0.01)
    axes.set(xlabel="seconds", ylabel="kHz")
    axes.set_title(f"4  mel, first |STFT|²: {power.shape[0]} frequencies x {power.shape[1]} frames")


def _draw_mel(figure: Figure, axes: Axes, decibels: NDArray[np.float32], spec: FeatureSpec, duration_s: float) -> None:
    """Draw mel decibels (M, T), with frequencies in Hz at the bands' places."""
    extent = (0, duration_s, 0, spec.n_mels)
    image = axes.imshow(decibels, origin="lower", aspect="auto", extent=extent, interpolation="none")
    figure.colorbar(image, ax=axes, label="dB", pad=0.01)
    low, high = (hz_to_mel(hz, spec.mel_scale) for hz in (spec.mel_min_hz, spec.mel_max_hz))
    ticks_hz = [hz for hz in TICKS_HZ if spec.mel_min_hz <= hz <= spec.mel_max_hz]
    places = [(hz_to_mel(hz, spec.mel_scale) - low) / (high - low) * spec.n_mels for hz in ticks_hz]
    axes.set(yticks=places, yticklabels=[f"{hz / 1000:g}" for hz in ticks_hz], ylabel="kHz, mel scale")


def _draw_scores(axes: Axes, classifier: LoadedModel, decibels: NDArray[np.float32]) -> None:
    """Draw the scores of the window and the threshold of each class."""
    contract = classifier.contract
    scores = classifier.classify(decibels[None])[0, : len(contract.labels)]  # (K,)
    for row, (label, score) in enumerate(zip(contract.labels, scores.tolist(), strict=True)):
        threshold = contract.thresholds[label]
        axes.barh(row, score, 0.6, color=BLUE if score >= threshold else FAINT)
        axes.plot([threshold] * 2, [row - 0.4, row + 0.4], color=ORANGE, linewidth=2)
        axes.text(score + 0.01, row, f"{score:.2f}", va="center", fontsize=8)
    axes.set(yticks=range(len(scores)), yticklabels=contract.labels, xlim=(0, 1.08), xlabel="score")
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.legend(
        handles=[Line2D([], [], color=ORANGE, linewidth=2, label="threshold")],
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0.1,
    )
    axes.set_title(f"5  classify: {len(scores)} scores")


def _draw_decision(axes: Axes, classifier: LoadedModel, sound: Samples, lines: list[dict[str, Any]]) -> None:
    """Draw the shown class's score in every window around the shown one, and the events that follow."""
    contract, spec = classifier.contract, classifier.contract.features
    class_id = contract.labels.index(SHOWN.label)
    rule = build_rules(DetectionConfig(), contract)[class_id]
    firsts = np.arange(0, sound.shape[1] - spec.window_samples + 1, spec.window_hop_samples)
    mels = [mel_db(sound[:, first : first + spec.window_samples], spec) for first in firsts]
    scores = np.concatenate([classifier.classify(mel[None]) for mel in mels])[:, class_id]
    ends_s = (firsts + spec.window_samples) / spec.rate_hz
    axes.plot(ends_s, scores, color=BLUE, marker="o", markersize=4, label="score, at each window's end")
    axes.axhline(rule.threshold, color=ORANGE, label="threshold")
    axes.axhline(rule.release, color=ORANGE, linestyle=":", label="release")
    axes.plot(
        [SHOWN.onset_s, SHOWN.offset_s], [1.14] * 2, color=FAINT, linewidth=6, solid_capstyle="butt", label="the sound"
    )
    events = [line for line in lines if line["type"] == "end" and line["class"] == SHOWN.label]
    for label, line in zip(["the event", *["_"] * len(events)], events, strict=False):
        times_s = [since_start_s(line[key]) for key in ("onset", "offset")]
        axes.plot(times_s, [1.24] * 2, color=BLUE, linewidth=6, solid_capstyle="butt", label=label)
    axes.set(xlim=(SHOWN.onset_s - 6, ROUND_S), ylim=(0, 1.9), yticks=np.arange(0, 1.1, 0.25), ylabel=SHOWN.label)
    axes.set_xlabel("seconds of the scene")
    axes.legend(loc="upper left", ncols=2)
    axes.set_title("6  decide: windows in a row, then an event")


def _draw_line(axes: Axes, line: dict[str, Any]) -> None:
    """Draw the event as other programs get it, a key a row."""
    text = "\n".join(f'"{key}": {json.dumps(value)}' for key, value in line.items())
    shown = axes.text(0, 1, text, va="top", family="monospace", fontsize=6.5, linespacing=1.3)
    shown.set_in_layout(False)
    axes.set_axis_off()
    axes.set_title("7  journal and sinks: the event as a line of JSON")


if __name__ == "__main__":
    main()
