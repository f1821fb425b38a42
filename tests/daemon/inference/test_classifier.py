from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto

from soundwatch.daemon.core.errors import ContractError, ModelError, ProviderError
from soundwatch.daemon.core.model.contract import encode_contract
from soundwatch.daemon.core.records.window import Features
from soundwatch.daemon.inference import classifier as stage
from soundwatch.daemon.inference import providers
from soundwatch.daemon.inference.classifier import activate, load_classifier_file, resolve_model
from support.fakes import SMALL_CONTRACT, SMALL_SPEC, BandClassifier
from support.model_files import write_onnx

MEL_DB = np.full((3, *SMALL_SPEC.input_shape), -20, np.float32)


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "cuda_unavailable_reason", lambda _: "the NVIDIA driver does not load (a test)")


# What a good file gives.


def test_scores_are_the_activation_of_the_networks_logits(tmp_path: Path) -> None:
    classifier = load_classifier_file(write_onnx(tmp_path / "m.onnx"))
    expected = 1 / (1 + np.exp([2.0, 4.0]))  # logits 0.1 * -20 and 0.2 * -20
    np.testing.assert_allclose(classifier.classify(MEL_DB), [expected] * 3, rtol=1e-6)
    assert classifier.contract == SMALL_CONTRACT
    assert classifier.provider == "CPUExecutionProvider"


def test_softmax_is_taken_from_the_contract(tmp_path: Path) -> None:
    contract = msgspec.structs.replace(SMALL_CONTRACT, activation="softmax")
    scores = load_classifier_file(write_onnx(tmp_path / "m.onnx", contract)).classify(MEL_DB)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)


def test_the_stage_ends_its_scores_where_the_sound_ended() -> None:
    features = Features(MEL_DB[0], first_sample=800, end_sample=1800, complete=False)
    [scores] = stage.classify_windows(BandClassifier(), [features])
    assert (scores.first_sample, scores.end_sample, scores.complete) == (800, 1800, False)
    assert scores.labels == ("low", "high")
    assert not scores.values.flags.writeable


def test_the_stage_classifies_windows_together_and_keeps_each_ones_place() -> None:
    classifier = BandClassifier()
    windows = [Features(mel_db, 800 * place, 800 * place + 3200, complete=True) for place, mel_db in enumerate(MEL_DB)]
    scores = stage.classify_windows(classifier, windows)
    assert classifier.seen_shapes == [MEL_DB.shape]
    assert [score.first_sample for score in scores] == [0, 800, 1600]
    np.testing.assert_array_equal([score.values for score in scores], classifier.classify(MEL_DB))
    assert stage.classify_windows(classifier, []) == []


logits = arrays.arrays(
    np.float32, (2, 5), elements=st.floats(-float(np.float32(3e38)), float(np.float32(3e38)), width=32)
)


@pytest.mark.slow
@given(logits, st.sampled_from(["softmax", "sigmoid"]))
def test_scores_of_any_finite_logits_lie_between_0_and_1(
    values: np.ndarray, activation: Literal["softmax", "sigmoid"]
) -> None:
    with np.errstate(over="ignore"):  # the difference of two huge logits: -inf, whose exponential is 0
        scores = activate(values, activation)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()


# What a bad file gives.


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.onnx", b"", "is empty"),
        ("garbage.onnx", bytes(range(256)) * 40, "does not read as ONNX"),
        ("text.onnx", b"Dear model,\nplease classify.\n", "does not read as ONNX"),
        ("zeros.onnx", bytes(1000), "does not read as ONNX"),
        ("noise.wav", b"RIFF\x24\0\0\0WAVEfmt ", "does not read as ONNX"),
        ("empty.pt", b"", "is empty"),
        ("garbage.pt", bytes(range(256)) * 40, "does not read as TorchScript"),
    ],
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    if name == "garbage.pt":
        pytest.importorskip("torch")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_classifier_file(tmp_path / name)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_model_is_refused(tmp_path: Path, share: float) -> None:
    whole = write_onnx(tmp_path / "m.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match=r"cut\.onnx (does not read as ONNX|is ONNX without)"):
        load_classifier_file(tmp_path / "cut.onnx")


def test_a_zip_that_is_no_torchscript_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for name, advice in (
        ("archive.ts", "soundwatch export --format torchscript`, or a shipped model"),
        ("checkpoint.pt", r"If it is a checkpoint .* `soundwatch export .*checkpoint\.pt --out models`"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("hello.txt", "hello")
        with pytest.raises(ModelError, match=advice):
            load_classifier_file(tmp_path / name)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Is a directory"):
        load_classifier_file(tmp_path)


def test_a_missing_file_is_refused_with_the_names_of_shipped_models(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"There is no model .*nothing\.onnx\. .* urban, urban-int8, tutorial\.$"):
        load_classifier_file(tmp_path / "nothing.onnx")


def test_a_missing_shipped_model_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "__file__", str(tmp_path / "inference" / "classifier.py"))
    with pytest.raises(ModelError, match=r"urban\.onnx.*install soundwatch again"):
        resolve_model("urban")


def test_a_model_without_a_contract_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="ONNX without a soundwatch contract"):
        load_classifier_file(write_onnx(tmp_path / "m.onnx", None))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("", "does not read"),
        ("{}", "missing required field"),
        ("[1, 2]", "does not read"),
        (encode_contract(SMALL_CONTRACT).replace("soundwatch.model/1", "soundwatch.model/2"), "soundwatch.model/1 was"),
        (encode_contract(SMALL_CONTRACT).replace('"n_mels":16', '"n_mels":0'), "inconsistent: n_mels is 0"),
    ],
)
def test_a_contract_that_does_not_read_is_refused(tmp_path: Path, metadata: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        load_classifier_file(write_onnx(tmp_path / "m.onnx", metadata=metadata))


@pytest.mark.parametrize(
    "shape", [("n", 2, 16, 33), ("n", 1, 64, 33), ("n", 1, 16, 34), (1, 1, 16, 33), ("n", 1, 16, 33, 1)]
)
def test_an_input_shape_that_the_contract_contradicts_is_refused(tmp_path: Path, shape: tuple[int | str, ...]) -> None:
    with pytest.raises(ModelError, match=r"any number of windows, 1, 16, 33"):
        load_classifier_file(write_onnx(tmp_path / "m.onnx", input_shape=shape))


def test_a_free_frame_axis_is_taken(tmp_path: Path) -> None:
    assert (
        load_classifier_file(write_onnx(tmp_path / "m.onnx", input_shape=("n", 1, 16, "frames"))).classify(MEL_DB).size
    )


def test_an_input_that_is_not_float32_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tensor\(double\).*one float32 input"):
        load_classifier_file(write_onnx(tmp_path / "m.onnx", element=TensorProto.DOUBLE))


def test_another_number_of_outputs_than_of_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"shape \(1, 10\) .* 2 labels"):
        load_classifier_file(write_onnx(tmp_path / "m.onnx", outputs=10))


def test_weights_in_a_second_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="keeps its weights in a second file"):
        load_classifier_file(write_onnx(Path("m.onnx"), external=True))


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_at_the_start(tmp_path: Path, weight: float) -> None:
    with pytest.raises(ModelError, match=r"gave nan for 1 windows of 0.0 to 0.0 dB; finite logits were expected"):
        load_classifier_file(write_onnx(tmp_path / "m.onnx", weight=weight))


def test_logits_that_are_not_finite_never_become_scores(tmp_path: Path) -> None:
    classifier = load_classifier_file(write_onnx(tmp_path / "m.onnx", weight=1e38))
    with pytest.raises(ModelError, match=r"gave -inf for 3 windows.*finite logits were expected"):
        classifier.classify(MEL_DB)


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.STRING, TensorProto.DOUBLE])
def test_outputs_that_are_not_float32_are_refused(tmp_path: Path, kind: int) -> None:
    made = onnx.load(write_onnx(tmp_path / "m.onnx"))
    made.graph.node.append(onnx.helper.make_node("Cast", ["logits"], ["cast"], to=kind))
    made.graph.output[0].name = "cast"
    made.graph.output[0].type.tensor_type.elem_type = kind
    onnx.save(made, tmp_path / "cast.onnx")
    with pytest.raises(ModelError, match=r"has outputs of tensor\(\w+\); float32 numbers were expected"):
        load_classifier_file(tmp_path / "cast.onnx")


def test_mel_decibels_of_another_shape_raise_no_error_of_the_runtimes(tmp_path: Path) -> None:
    classifier = load_classifier_file(write_onnx(tmp_path / "m.onnx"))
    with pytest.raises(ModelError, match=r"failed on mel decibels of shape \(1, 2, 3, 4\)"):
        classifier.classify(np.zeros((1, 2, 3, 4), np.float32))


# What runs it.


def test_cuda_without_a_driver_is_refused_with_the_reason(tmp_path: Path, no_driver: None) -> None:
    path = write_onnx(tmp_path / "m.onnx")
    for provider in ("cuda", "CUDAExecutionProvider"):
        with pytest.raises(ProviderError, match="driver does not load"):
            load_classifier_file(path, provider)


def test_a_provider_that_this_build_lacks_is_refused_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"HailoExecutionProvider is not in .* CPUExecutionProvider"):
        load_classifier_file(write_onnx(tmp_path / "m.onnx"), provider="HailoExecutionProvider")


def test_a_provider_may_be_named_as_onnx_runtime_names_it(tmp_path: Path) -> None:
    classifier = load_classifier_file(write_onnx(tmp_path / "m.onnx"), provider="CPUExecutionProvider")
    assert classifier.provider == "CPUExecutionProvider"


@pytest.mark.skipif(providers.cuda_unavailable_reason() is None, reason="this machine has an NVIDIA driver")
@pytest.mark.skipif(sys.platform != "linux", reason="CUDA's build of ONNX Runtime is installed on Linux only")
def test_a_driver_without_cuda_falls_back_unless_cuda_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(providers, "cuda_unavailable_reason", lambda _: None)
    path = write_onnx(tmp_path / "m.onnx")
    assert load_classifier_file(path).provider == "CPUExecutionProvider"
    with pytest.raises(ProviderError, match="its libraries do not load"):
        load_classifier_file(path, provider="cuda")
    assert capfd.readouterr() == ("", "")


def test_opening_and_running_a_model_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_classifier_file(write_onnx(tmp_path / "m.onnx")).classify(MEL_DB)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_importing_the_stage_imports_no_runtime() -> None:
    code = (
        "import sys, soundwatch.daemon.inference.classifier; "
        "assert not {'onnxruntime', 'torch'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_torch_is_reported_with_the_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.ts").write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"pip install '(soundwatch|\.)\[training\]'"):
        load_classifier_file(tmp_path / "m.ts")


def test_torchscript_has_no_providers_of_onnx_runtime(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "m.ts").write_bytes(b"anything")
    with pytest.raises(ProviderError, match="choose auto, cpu or cuda"):
        load_classifier_file(tmp_path / "m.ts", provider="CPUExecutionProvider")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "m.onnx")
    path.chmod(0)
    with pytest.raises(ModelError, match="Permission denied"):
        load_classifier_file(path)


def test_the_int8_version_of_the_default_model_has_its_classes_and_nearly_its_scores() -> None:
    exact, quantized = (load_classifier_file(name, "cpu") for name in ("urban", "urban-int8"))
    for key in ("features", "labels", "tags"):
        assert getattr(quantized.contract, key) == getattr(exact.contract, key), "make urban-int8 of urban again"
    mel_db = np.random.default_rng(1).normal(-40, 15, (4, *exact.contract.features.input_shape)).astype(np.float32)
    np.testing.assert_allclose(quantized.classify(mel_db), exact.classify(mel_db), rtol=0, atol=0.2)
