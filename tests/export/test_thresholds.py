"""`soundwatch thresholds` writes a model with thresholds chosen on streets, and leaves its weights alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from soundwatch.daemon.core.errors import ConfigError, DataError, ModelError, SinkError
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.export.rewrite import write_with_contract
from soundwatch.export.thresholds_command import thresholds
from soundwatch.training.evaluation.thresholds import street as street_thresholds
from support.everyday_folder import write_everyday_folder
from support.model_files import write_onnx
from support.tone_classifier import TEN_TONES
from support.urbansound8k_folder import write_data


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    provenance = msgspec.structs.replace(TEN_TONES.provenance, recipe="urban-taught", folds=(1,))
    folder = tmp_path_factory.mktemp("model")
    return write_onnx(folder / "model.onnx", msgspec.structs.replace(TEN_TONES, provenance=provenance))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder / "us8k", folds=(1, 2))
    write_everyday_folder(folder / "sounds", recordings=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(street_thresholds, "MINUTES", 1.0)
        yield ["--data", str(folder / "us8k"), "--sounds", str(folder / "sounds")]


@pytest.fixture(scope="module")
def written(model: Path, data: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder of a model with thresholds, `out`, and of the scores, `cache`, and what was printed."""
    folder = tmp_path_factory.mktemp("written")
    printed = run(str(model), *data, "--unseen", "--cache", str(folder / "cache"), "--out", str(folder / "out"))
    return folder, printed


def run(*arguments: str) -> str:
    return str(CliRunner().invoke(thresholds, arguments, catch_exceptions=False).output)


def test_a_model_is_written_with_its_thresholds_and_their_results(model: Path, written: tuple[Path, str]) -> None:
    folder, printed = written
    before = load_classifier_file(model, "cpu").contract
    after = load_classifier_file(folder / "out" / "tones.onnx", "cpu").contract
    assert after.identity == before.identity
    assert after.operation is not None
    assert after.operation.price == 0.01
    assert "fold 2" in after.operation.measured_on
    assert set(after.operation.classes) == set(after.labels)
    for label, item in after.operation.classes.items():
        assert item.low <= after.thresholds[label] <= item.high
    card = (folder / "out" / "tones.md").read_text()
    assert "Choice of thresholds" in card
    assert "tones.onnx" in printed


def test_another_price_is_taken(model: Path, data: list[str], written: tuple[Path, str], tmp_path: Path) -> None:
    cache = ["--cache", str(written[0] / "cache")]
    run(str(model), *data, "--unseen", *cache, "--price", "0.5", "--out", str(tmp_path / "out"))
    contract = load_classifier_file(tmp_path / "out" / "tones.onnx", "cpu").contract
    assert contract.operation is not None
    assert contract.operation.price == 0.5


def test_cached_scores_equal_new_ones(model: Path, data: list[str], written: tuple[Path, str], tmp_path: Path) -> None:
    cache = ["--cache", str(written[0] / "cache")]
    run(str(model), *data, "--unseen", *cache, "--out", str(tmp_path / "two"))
    run(str(model), *data, "--unseen", "--out", str(tmp_path / "three"))
    files = [(out / "tones.onnx").read_bytes() for out in (written[0] / "out", tmp_path / "two", tmp_path / "three")]
    assert files[0] == files[1] == files[2]


def test_a_network_trained_on_every_fold_is_refused(model: Path, data: list[str], tmp_path: Path) -> None:
    provenance = msgspec.structs.replace(TEN_TONES.provenance, recipe="urban-taught", folds=(1, 2))
    learned = write_onnx(tmp_path / "learned.onnx", msgspec.structs.replace(TEN_TONES, provenance=provenance))
    with pytest.raises(DataError, match="has learned from all of the folds 1, 2"):
        run(str(learned), *data, "--unseen", "--out", str(tmp_path / "out"))
    assert "too much is found" in run(
        str(learned), *data, "--unseen", "--folds", "1", "--price", "0.1", "--out", str(tmp_path / "out")
    )


def test_the_model_itself_and_files_that_exist_are_not_replaced(model: Path, data: list[str], tmp_path: Path) -> None:
    own = Path(shutil.copy(model, tmp_path / "tones.onnx"))
    with pytest.raises(ConfigError, match="is read by this command, so nothing is written to it"):
        run(str(own), *data, "--unseen", "--overwrite", "--out", str(tmp_path))
    own.unlink()
    (tmp_path / "tones.md").write_text("notes")
    with pytest.raises(ConfigError, match=r"tones\.md exists\. Name another place, or add --overwrite"):
        run(str(model), *data, "--unseen", "--out", str(tmp_path))


def test_a_network_of_other_classes_is_refused(model: Path, data: list[str], tmp_path: Path) -> None:
    other = write_onnx(tmp_path / "other.onnx")
    with pytest.raises(ConfigError, match="has the labels low, high"):
        run(str(model), *data, "--held-out", str(other), "--folds", "2", "--out", str(tmp_path / "out"))


def test_a_missing_price_and_a_wrong_folder_are_refused_before_the_work(data: list[str], tmp_path: Path) -> None:
    provenance = msgspec.structs.replace(TEN_TONES.provenance, recipe="mine", folds=(1,))
    mine = write_onnx(tmp_path / "mine.onnx", msgspec.structs.replace(TEN_TONES, provenance=provenance))
    with pytest.raises(ConfigError, match=r"made by recipe mine, which is not shipped; give --price"):
        run(str(mine), *data, "--unseen", "--out", str(tmp_path / "out"))
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"file cannot be written to: File exists"):
        run(str(mine), *data, "--unseen", "--price", "0.1", "--out", str(tmp_path / "file"))


def test_the_networks_outputs_are_unchanged(model: Path, tmp_path: Path) -> None:
    contract = msgspec.structs.replace(load_classifier_file(model, "cpu").contract, name="renamed")
    file, card = write_with_contract(model, contract, tmp_path / "out")
    assert (file.name, card.name) == ("renamed.onnx", "renamed.md")
    assert onnx.load(file).graph == onnx.load(model).graph
    mel_db = np.random.default_rng(1).normal(-40, 10, (3, *contract.features.input_shape)).astype(np.float32)
    one, other = (load_classifier_file(path, "cpu").classify(mel_db) for path in (model, file))
    assert np.array_equal(one, other)


def test_only_onnx_files_are_rewritten(exported: Path, tmp_path: Path) -> None:
    script = next(exported.glob("*.ts"))
    with pytest.raises(ModelError, match="is no ONNX file"):
        write_with_contract(script, TEN_TONES, tmp_path)
