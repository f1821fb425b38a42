"""Hashes of what a model file computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import numpy_helper

from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.inference.classifier import load_classifier_file, model_path
from soundwatch.daemon.inference.content_hash import CONTENT_KEY, onnx_content_sha256
from support.cli_runner import soundwatch
from support.model_files import write_onnx


def declared(path: Path) -> Path:
    """Write a model that declares its hash."""
    write_onnx(path)
    model = onnx.load(path)
    entry = model.metadata_props.add()
    entry.key, entry.value = CONTENT_KEY, onnx_content_sha256(path.read_bytes())
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def change_weight(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1:
            tensor.CopyFrom(numpy_helper.from_array(values * np.float32(1.01), tensor.name))
            return
    raise AssertionError("no weights")


def change_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].name = "another"


def change_format(model: onnx.ModelProto) -> None:
    model.ir_version -= 1


@pytest.mark.parametrize("change", [change_weight, change_attribute, change_format])
def test_a_file_whose_tensors_or_graph_were_altered_is_refused(tmp_path: Path, change: object) -> None:
    path = declared(tmp_path / "m.onnx")
    before = load_classifier_file(path, "cpu").content_sha256
    model = onnx.load(path)
    assert callable(change)
    change(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    with pytest.raises(ModelError, match="was altered after its export"):
        load_classifier_file(path, "cpu")
    assert onnx_content_sha256(path.read_bytes()) != before


def test_metadata_and_the_producer_do_not_change_the_hash(tmp_path: Path) -> None:
    path = declared(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.producer_version = "2"
    model.doc_string = "another text"
    entry = model.metadata_props.add()
    entry.key, entry.value = "note", "x"
    assert onnx_content_sha256(model.SerializeToString()) == load_classifier_file(path, "cpu").content_sha256


@pytest.mark.parametrize("content", [b"\x3a\xff", b"\x3b", b"\x80" * 11, b"\x3a\x05ab", b"\x39ab"])
def test_content_that_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"at byte|no integer"):
        onnx_content_sha256(content)


@pytest.mark.parametrize("name", ["urban", "tutorial", "speech"])
def test_a_shipped_model_declares_its_hash(name: str) -> None:
    declared_sha256 = {entry.key: entry.value for entry in onnx.load(model_path(name)).metadata_props}[CONTENT_KEY]
    assert declared_sha256 == load_classifier_file(model_path(name), "cpu").content_sha256


@pytest.mark.slow
@pytest.mark.parametrize("command", ["verify", "replay", "classify", "check-config"])
def test_no_command_uses_an_altered_model(tmp_path: Path, command: str) -> None:
    model = onnx.load(model_path("tutorial"))
    change_weight(model)
    path = tmp_path / "altered.onnx"
    path.write_bytes(model.SerializeToString())
    sound = tmp_path / "a.wav"
    soundfile.write(sound, np.zeros(8000), 8000)
    (tmp_path / "c.yaml").write_text(f"model: {{file: {path}}}")
    arguments = {"verify": [path], "check-config": [tmp_path / "c.yaml"]}.get(command, [sound, "--model", path])
    done = soundwatch(command, *arguments)
    assert done.returncode == 3
    assert b"was altered after its export" in done.stderr
