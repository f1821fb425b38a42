"""A model repository for Triton: its content, and its atomic creation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError, ModelError, SinkError
from soundwatch.daemon.core.model.contract import decode_contract
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.export.cli import export
from soundwatch.export.triton_repository import configuration, export_repository

QUIET = Console(quiet=True)


def test_a_repository_holds_the_proven_network_its_configuration_and_its_card(
    checkpoint: Path, exported: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(
        export, [str(checkpoint), "--format", "triton", "--out", str(tmp_path)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    (place,) = tmp_path.iterdir()
    wanted = [place / "config.pbtxt", place / "1" / "model.onnx", place / f"{place.name}.md"]
    assert done.stdout.split() == [str(path) for path in wanted]
    assert {path for path in place.rglob("*") if path.is_file()} == set(wanted)
    assert wanted[1].read_bytes() == (exported / f"{place.name}.onnx").read_bytes()


def test_the_configuration_has_the_shapes_and_the_exact_contract(exported: Path) -> None:
    contract = load_classifier_file(next(exported.glob("*.onnx")), "cpu").contract
    text = configuration(contract)
    shape = ", ".join(map(str, contract.features.input_shape))
    assert f'input [ {{ name: "mel_db" data_type: TYPE_FP32 dims: [ {shape} ] }} ]' in text
    assert f'output [ {{ name: "logits" data_type: TYPE_FP32 dims: [ {len(contract.labels)} ] }} ]' in text
    assert text.count(f"dims: [ {shape} ] random_data: true") == 2, "a lone window and a full batch warm it up"
    carried = re.search(r'string_value: (".*") \}', text)
    assert carried is not None
    assert decode_contract(json.loads(carried[1]), "the configuration") == contract


def test_a_repository_takes_the_place_of_the_one_before_and_leaves_others_alone(
    checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "theirs" / "1").mkdir(parents=True)
    files, _ = export_repository(checkpoint, tmp_path, None, QUIET)
    stale = files[0].with_name("stale")
    stale.write_text("")
    with pytest.raises(ConfigError, match=f"{files[0].parent} exists. Name another place, or add --overwrite"):
        export_repository(checkpoint, tmp_path, None, QUIET)
    again, _ = export_repository(checkpoint, tmp_path, None, QUIET, overwrite=True)
    assert again == files
    assert not stale.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"theirs", files[0].parent.name}


def test_a_failed_export_leaves_no_file(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No file"):
        export_repository(tmp_path / "none.pt", tmp_path / "out", None, QUIET)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="file cannot be written to"):
        export_repository(checkpoint, tmp_path / "file", None, QUIET)
