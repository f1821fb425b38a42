"""Backend torchscript opens a shipped model by itself, and imports torch in no other case."""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.core.process.program_log import program_log, use_program_log
from soundwatch.daemon.inference import shipped_torchscript
from soundwatch.daemon.inference.classifier import load_classifier_file
from support.memory_logger import MemoryLogger


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_a_shipped_model_is_exported_once_and_gives_the_scores_of_its_onnx_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    shipped = load_classifier_file("tutorial", "cpu")
    exported = load_classifier_file("tutorial", "cpu", "torchscript")
    assert exported.path.is_relative_to(cache)
    assert exported.provider == "TorchScript-CPU"
    assert exported.contract == shipped.contract
    mel_db = np.full((1, *shipped.contract.features.input_shape), -40, np.float32)
    np.testing.assert_allclose(exported.classify(mel_db), shipped.classify(mel_db), rtol=0, atol=1e-4)

    def run(*_: object, **__: object) -> None:
        raise AssertionError("exported twice")

    monkeypatch.setattr(subprocess, "run", run)
    assert load_classifier_file("tutorial", "cpu", "torchscript").path == exported.path


def test_without_torch_the_message_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str) -> None:
        assert name == "torch"

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(ModelError, match=r"pip install '\.\[training\]'"):
        load_classifier_file("tutorial", "cpu", "torchscript")


def test_an_export_that_fails_gives_its_reason_and_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(shipped_torchscript, "_PROGRAM", "import sys; sys.exit('no room in the folder')")
    log = MemoryLogger()
    failed = pytest.raises(ModelError, match=r"no room in the folder Try `soundwatch export tutorial")
    with failed, use_program_log(log):
        load_classifier_file("tutorial", "cpu", "torchscript")
    [fields] = log.fields("torchscript_export_started")
    assert (fields["model"], fields["usual_s"]) == ("tutorial", 60)
    assert fields["file"].startswith(str(cache))
    assert program_log() is None


def test_an_export_that_is_ended_leaves_no_parts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(tempfile, "tempdir", str(cache))
    parts = "import pathlib, sys; (pathlib.Path(sys.argv[-1]) / '.unverified-1').mkdir(); sys.exit('ended')"
    monkeypatch.setattr(shipped_torchscript, "_PROGRAM", parts)
    with pytest.raises(ModelError, match="ended Try `soundwatch export tutorial"):
        load_classifier_file("tutorial", "cpu", "torchscript")
    assert [path.name for path in cache.iterdir()] == ["soundwatch"]
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_cache_that_cannot_be_written_is_named_before_the_export(cache: Path) -> None:
    pytest.importorskip("torch")
    (cache / "soundwatch").write_text("a file where a folder belongs")
    log = MemoryLogger()
    with (
        pytest.raises(ModelError, match=r"tutorial\.ts cannot be written: Not a directory\. Try"),
        use_program_log(log),
    ):
        load_classifier_file("tutorial", "cpu", "torchscript")
    assert log.events == []


def test_a_model_in_8_bit_integers_has_no_torchscript_file() -> None:
    with pytest.raises(ModelError, match=r"only its ONNX file has\. Use backend onnx, or the model urban\.$"):
        load_classifier_file("urban-int8", "cpu", "torchscript")
