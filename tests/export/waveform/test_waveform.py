"""Waveform files give the daemon's scores, and run where soundwatch is not installed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
from rich.console import Console

from soundwatch.daemon.capture.demo.scene import demo_scene
from soundwatch.daemon.cli import main
from soundwatch.daemon.core.errors import ConfigError, ContractError, ModelError, VerificationError
from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.inference.classifier import load_classifier_file, resolve_model
from soundwatch.export.exporter import export_checkpoint
from soundwatch.export.waveform import export as waveform_export
from soundwatch.export.waveform.export import describe, export_waveform, to_waveform_onnx
from soundwatch.export.waveform.parity import daemon_scores, open_waveform_file, waveform_probes
from soundwatch.training.model.pretrained import open_model

ROOT = Path(__file__).resolve().parents[3]
QUIET = Console(quiet=True)
LIMIT = 1e-3


def shipped_waveform_file(folder: Path, name: str, rate_hz: int) -> Path:
    """A waveform file of a shipped model with its description, not verified."""
    path = resolve_model(name)
    contract = load_classifier_file(path, "cpu").contract
    file = folder / f"{name}-waveform-{rate_hz}.onnx"
    file.write_bytes(to_waveform_onnx(onnx.load(path), contract, rate_hz))
    file.with_suffix(".json").write_text(json.dumps(describe(contract, rate_hz)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def urban_44100(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipped_waveform_file(tmp_path_factory.mktemp("waveform"), "urban", 44_100)


@cache
def scene_of(rate_hz: int) -> Samples:
    return np.atleast_2d(demo_scene(rate_hz, 12.0))[:1]


def street(rate_hz: int, seconds: float, channels: int = 1) -> Samples:
    scene = scene_of(rate_hz)[:, : int(seconds * rate_hz)]
    gains = np.linspace(1, 0.2, channels)[:, None]
    return np.ascontiguousarray(gains * scene, np.float32)


def test_a_recording_of_any_length_gets_the_daemons_windows_and_scores(urban_44100: Path) -> None:
    classifier, score = load_classifier_file("urban", "cpu"), open_waveform_file(urban_44100, "onnx")
    for seconds in (0.4, 2.1, 4.9, 6.3):
        samples = street(44_100, seconds)
        np.testing.assert_allclose(score(samples), daemon_scores(classifier, samples, 44_100), rtol=0, atol=LIMIT)


@pytest.mark.parametrize(("name", "rate_hz"), [("urban", 16_000), ("tutorial", 44_100)])
def test_channels_follow_the_daemons_rule(tmp_path: Path, name: str, rate_hz: int) -> None:
    score = open_waveform_file(shipped_waveform_file(tmp_path, name, rate_hz), "onnx")
    for channels in (1, 2, 3):
        samples = street(rate_hz, 2.5, channels)
        wanted = daemon_scores(load_classifier_file(name, "cpu"), samples, rate_hz)
        np.testing.assert_allclose(score(samples), wanted, rtol=0, atol=LIMIT)


def test_the_file_has_the_operators_that_converters_read(urban_44100: Path) -> None:
    model = onnx.load(urban_44100)
    assert model.ir_version <= 8
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 17)]
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"STFT", "DFT", "If", "Loop", "Scan"}
    assert not {tensor.data_type for tensor in model.graph.initializer} & {onnx.TensorProto.DOUBLE}


def test_both_formats_of_a_checkpoint_are_verified_and_described(checkpoint: Path, tmp_path: Path) -> None:
    files, verification = export_waveform(checkpoint, ["onnx", "torchscript"], None, tmp_path, None, QUIET)
    assert [file.name for file in files] == [
        "small-waveform-8000.onnx",
        "small-waveform-8000.ts",
        "small-waveform-8000.json",
        "small.md",
    ]
    assert {difference.variant for difference in verification.differences} == {
        "waveform, ONNX Runtime",
        "waveform, TorchScript",
    }
    assert max(difference.score for difference in verification.differences) <= LIMIT
    metadata = onnxruntime.InferenceSession(str(files[0])).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["soundwatch.waveform"]) == json.loads(files[2].read_text("utf-8"))
    for file in files[:2]:
        with pytest.raises(ContractError, match="takes samples and is for other programs"):
            load_classifier_file(file, "cpu")


def test_a_file_with_other_scores_is_never_put_in_place(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deaf(*given: object) -> bytes:
        content = onnx.load_from_string(to_waveform_onnx(*given))  # type: ignore[arg-type]
        bias = next(item for item in content.graph.initializer if list(item.dims) == [10])
        bias.CopyFrom(onnx.numpy_helper.from_array(np.linspace(-1, 1, 10, dtype=np.float32), bias.name))
        return bytes(content.SerializeToString())

    monkeypatch.setattr(
        waveform_export, "waveform_probes", lambda *given: dict(list(waveform_probes(*given).items())[:2])
    )
    monkeypatch.setattr(waveform_export, "to_waveform_onnx", deaf)
    with pytest.raises(VerificationError, match=r"waveform, ONNX Runtime on silence"):
        export_waveform(checkpoint, ["onnx"], None, tmp_path, None, QUIET)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["urban", "--waveform", "--rate", "8000"], "--rate 8000 is below the 16000 Hz of urban"),
        (["urban", "--waveform", "--rate", "44101"], "--rate 44101 needs a filter of"),
        (["urban", "--rate", "44100"], "add --waveform, or leave --rate out"),
        (["urban", "--waveform", "--format", "triton"], "leave out --int8 and --format triton"),
    ],
)
def test_an_export_that_cannot_be_is_refused_with_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], match: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["export", *words, "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert match in " ".join(capfd.readouterr().err.split())


def test_a_rate_that_needs_another_filter_than_libsoxrs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, contract = open_model(Path("tutorial"))
    features = msgspec.structs.replace(contract.features, resampler="torchaudio")
    named = msgspec.structs.replace(contract, features=features)
    monkeypatch.setattr(waveform_export, "open_model", lambda _: (network, named))
    with pytest.raises(ConfigError, match="needs the filter of resampler torchaudio"):
        export_waveform(Path("tutorial"), ["onnx"], 48_000, tmp_path, None, QUIET)


def test_a_shipped_model_is_exported_to_torchscript_without_its_checkpoint(tmp_path: Path) -> None:
    (file, _), verification = export_checkpoint(Path("tutorial"), ["torchscript"], tmp_path, None, QUIET)
    shipped = load_classifier_file("tutorial", "cpu")
    assert load_classifier_file(file, "cpu").contract == shipped.contract
    assert "daemon, TorchScript" in {difference.variant for difference in verification.differences}


def test_a_file_that_is_no_checkpoint_and_no_onnx_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.ts").write_bytes(b"x")
    with pytest.raises(ModelError, match="neither a checkpoint"):
        export_checkpoint(tmp_path / "model.ts", ["onnx"], tmp_path, None, QUIET)


def program(name: str) -> str:
    """A program of docs/model-files.md."""
    text = (ROOT / "docs" / "model-files.md").read_text("utf-8")
    found = re.search(rf"<!-- program: {re.escape(name)} -->\n```\w+\n(.*?)```", text, re.S)
    assert found, name
    return found[1]


def packages_alone(folder: Path, names: tuple[str, ...]) -> Path:
    """A folder of links to some installed packages and what belongs to them, and to no others."""
    folder.mkdir()
    for name in names:
        spec = importlib.util.find_spec(name)
        assert spec is not None, name
        assert spec.origin is not None, name
        origin = Path(spec.origin)
        place = origin.parent if origin.name == "__init__.py" else origin
        for file in place.parent.glob(f"{place.name.removesuffix('.py')}*"):
            if not file.name.endswith(".dist-info") and not (folder / file.name).exists():
                (folder / file.name).symlink_to(file)
    return folder


def best_windows(output: str) -> list[tuple[float, str, float]]:
    rows = [line.replace(" s ", " ").split() for line in output.splitlines()]
    return [(float(start), label, float(score)) for start, label, score in rows]


def expected_windows(samples: Samples) -> list[tuple[float, str, float]]:
    classifier = load_classifier_file("urban", "cpu")
    labels = classifier.contract.labels
    scores = daemon_scores(classifier, samples, 44_100)
    return [(float(start), labels[row.argmax()], float(row.max())) for start, row in enumerate(scores)]


def assert_windows(found: list[tuple[float, str, float]], wanted: list[tuple[float, str, float]]) -> None:
    assert [item[:2] for item in found] == [item[:2] for item in wanted]
    np.testing.assert_allclose([item[2] for item in found], [item[2] for item in wanted], rtol=0, atol=2 * LIMIT)


def test_the_ten_lines_of_python_run_without_soundwatch(urban_44100: Path, tmp_path: Path) -> None:
    samples = street(44_100, 9.0)
    soundfile.write(tmp_path / "street.wav", samples.T, 44_100, subtype="FLOAT")
    for file in urban_44100.parent.iterdir():
        shutil.copy(file, tmp_path)
    packages = packages_alone(
        tmp_path / "packages",
        (
            "numpy",
            "onnxruntime",
            "soundfile",
            "_soundfile",
            "_soundfile_data",
            "_cffi_backend",
            "cffi",
            "typing_extensions",
        ),
    )
    (tmp_path / "waveform.py").write_text(
        "import importlib.util\nassert not importlib.util.find_spec('soundwatch')\n" + program("waveform.py")
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages)}
    words = [sys.executable, "-S", "-s", "waveform.py", "street.wav"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_windows(best_windows(done.stdout), expected_windows(samples))


def test_the_lines_of_javascript_run_in_node(urban_44100: Path, tmp_path: Path) -> None:
    modules = ROOT / ".venv" / "node" / "node_modules"
    if not shutil.which("node") or not (modules / "onnxruntime-web").is_dir():
        pytest.skip("there is no onnxruntime-web: sh scripts/browser-files, which needs npm")
    samples = street(44_100, 9.0)
    samples.tofile(tmp_path / "street.f32")
    for file in urban_44100.parent.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "waveform.mjs").write_text(program("waveform.mjs"))
    words = ["node", "waveform.mjs", "street.f32"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_windows(best_windows(done.stdout), expected_windows(samples))
