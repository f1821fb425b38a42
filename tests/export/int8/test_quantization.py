from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from rich.console import Console

from soundwatch.daemon.cli import main
from soundwatch.daemon.core.errors import ConfigError, ModelError
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.export.band_means import pool_over_bands
from soundwatch.export.bias_correction import add_missing_biases, channel_means
from soundwatch.export.exporter import verify_file
from soundwatch.export.int8 import comparison as int8_comparison
from soundwatch.export.int8.comparison import (
    CALIBRATION_CLIPS,
    calibration_windows,
    compare_int8,
    is_kept,
    load_calibration_data,
)
from soundwatch.export.int8.equalize import equalize
from soundwatch.export.int8.quantization import later_convolutions, quantize_network, to_int8
from soundwatch.training.data.datasets.urbansound8k import Clip
from support.fakes import SMALL_CONTRACT, SMALL_SPEC
from support.model_files import write_onnx
from support.wav_files import write_wav

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    return np.random.default_rng(7).normal(-40, 15, (16, 2, *SMALL_SPEC.input_shape[1:])).astype(np.float32)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten recordings a class of the small contract's own rate, a folder a class."""
    root = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(8)
    for label in load_classifier_file("tutorial", "cpu").contract.labels:
        (root / label).mkdir()
        for number in range(5):
            noise = 0.1 * rng.standard_normal(44_100)
            write_wav(root / label / f"{label}{number}.wav", noise, 44_100)
    return root


def test_an_int8_network_has_similar_scores_and_its_own_contract(
    exported: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    network = load_classifier_file(exported / "small.onnx", "cpu")
    content, contract = to_int8(network.path, network.contract, windows)
    (tmp_path / "int8.onnx").write_bytes(content)
    int8 = load_classifier_file(tmp_path / "int8.onnx", "cpu")
    assert int8.contract == contract
    assert contract.name == "small-int8"
    assert contract.weights_sha256 != network.contract.weights_sha256
    assert contract.provenance.data.endswith("rounded to 8 bits by 16 windows of them")
    assert contract.features == network.contract.features
    np.testing.assert_allclose(int8.classify(windows), network.classify(windows), atol=0.05)
    operators = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert "QuantizeLinear" in operators


def test_rounding_moves_no_mean_of_a_channel(exported: Path, windows: np.ndarray) -> None:
    original = onnx.load(exported / "small.onnx")
    names = [node.name for node in later_convolutions(original.graph)]
    int8 = quantize_network(original, windows)  # equalizes the original, then takes its weights
    equalized = onnx.load(exported / "small.onnx")
    pool_over_bands(equalized)
    add_missing_biases(equalized)
    equalize(equalized)
    wanted = channel_means(equalized, names, windows)
    for name, means in channel_means(int8, names, windows).items():
        np.testing.assert_allclose(means, wanted[name], atol=2e-3, err_msg=name)


def test_quantization_is_reproducible(exported: Path, windows: np.ndarray) -> None:
    contract = load_classifier_file(exported / "small.onnx", "cpu").contract
    assert to_int8(exported / "small.onnx", contract, windows) == to_int8(exported / "small.onnx", contract, windows)


def test_a_network_without_a_second_convolution_is_refused(tmp_path: Path, windows: np.ndarray) -> None:
    path = write_onnx(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="nothing in it that 8 bits would make quicker"):
        to_int8(path, SMALL_CONTRACT, windows)


@pytest.mark.parametrize(
    ("ratio", "accuracy", "accuracy_int8", "kept"),
    [
        (0.7, 0.737, 0.735, True),
        (0.7, 0.737, 0.732, True),  # half a point
        (0.7, 0.737, 0.7319, False),
        (0.7, 0.737, 0.75, True),
        (0.91, 0.737, 0.737, False),
        (1.3, 0.737, 0.737, False),
    ],
)
def test_an_int8_file_is_kept_where_it_is_faster_and_as_accurate(
    ratio: float, accuracy: float, accuracy_int8: float, kept: bool
) -> None:
    assert is_kept(ratio, accuracy, accuracy_int8) is kept


@pytest.mark.parametrize("kept", [True, False])
def test_the_command_prints_both_figures_and_keeps_a_file_only_if_it_is_accepted(
    kept: bool, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(int8_comparison, "is_kept", lambda *_: kept)
    arguments = ["--int8", "--data", str(recordings), "--layout", "folders", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        main(["export", "tutorial", *arguments])
    assert stopped.value.code == 0
    files = ["tutorial-int8.md", "tutorial-int8.onnx"] if kept else []
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    out, err = capfd.readouterr()
    assert sorted(Path(line).name for line in out.splitlines()) == files
    said = " ".join(err.split())
    assert "times the processor time of tutorial@sha256:" in said
    assert "points lost were expected: " + ("kept." if kept else "not kept.") in said
    if kept:
        verify_file(tmp_path / "tutorial-int8.onnx", "auto", None, None, QUIET).raise_if_failed()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--int8"], "give --data"),
        (["--data", "."], "are for --int8"),
        (["--int8", "--data", ".", "--format", "all"], "--int8 is for ONNX"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["export", "tutorial", *arguments, "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert message in capfd.readouterr().err


def test_an_int8_export_that_fails_leaves_no_file(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    arguments = ["--int8", "--data", str(tmp_path / "none"), "--layout", "folders", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(checkpoint), *arguments])
    assert stopped.value.code == 7
    assert not (tmp_path / "out").exists()


def test_an_int8_network_is_not_quantized_again(
    exported: Path, windows: np.ndarray, tmp_path: Path, recordings: Path
) -> None:
    content, contract = to_int8(
        exported / "small.onnx", load_classifier_file(exported / "small.onnx").contract, windows
    )
    (tmp_path / "int8.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match="in 8 bits already"):
        compare_int8(
            tmp_path / "int8.onnx", tmp_path, load_calibration_data(recordings, "folders", None, contract), QUIET
        )


def test_calibration_clips_are_drawn_evenly_up_to_a_limit(recordings: Path) -> None:
    spec = load_classifier_file("tutorial", "cpu").contract.features
    clips = [Clip(path, 0, 0, path.stem) for path in sorted(recordings.rglob("*.wav"))]
    drawn = calibration_windows(clips, spec, QUIET)
    assert drawn.shape == (min(len(clips), CALIBRATION_CLIPS), *spec.input_shape)
    np.testing.assert_array_equal(drawn, calibration_windows(clips, spec, QUIET))


def test_scored_clips_are_not_used_for_calibration_if_there_are_others(tmp_path: Path) -> None:
    contract = load_classifier_file("urban", "cpu").contract  # trained on folds 1, 2 and 3
    lines = ["slice_file_name,fold,classID,class"]
    for fold in (1, 2, 3, 4):
        (tmp_path / "audio" / f"fold{fold}").mkdir(parents=True)
        name = f"{fold}-3-0-0.wav"
        (tmp_path / "audio" / f"fold{fold}" / name).touch()
        lines.append(f"{name},{fold},3,dog_bark")
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "UrbanSound8K.csv").write_text("\n".join(lines) + "\n")
    folds = {
        scored: load_calibration_data(tmp_path, "urbansound8k", scored, contract) for scored in (None, (1,), (1, 2, 3))
    }
    sides = {
        scored: ({clip.fold for clip in item.calibration}, {clip.fold for clip in item.scored.clips})
        for scored, item in folds.items()
    }
    assert sides == {None: ({1, 2, 3}, {4}), (1,): ({2, 3}, {1}), (1, 2, 3): ({1, 2, 3}, {1, 2, 3})}
