"""Runs that are resumed, and checkpoints that are refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import msgspec
import pytest
import torch

from soundwatch.daemon.core.errors import ConfigError, ContractError, ModelError
from soundwatch.training.model.checkpoint import FILE_NAME, load_network, read_checkpoint
from soundwatch.training.model.recipe import Recipe
from support.checkpoint_factory import write_checkpoint
from support.tiny_run import run_silently, run_until_cut_off, setup_on_folds


class _Code:
    """A value that makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


def test_a_run_that_was_cut_off_and_resumed_ends_with_the_same_bits(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = (setup_on_folds(tiny_data, tiny_recipe, tmp_path / name) for name in ("whole", "cut"))
    run_silently(whole)
    run_until_cut_off(cut, monkeypatch)
    assert read_checkpoint(cut.out / FILE_NAME).epoch == 2
    run_silently(cut, resume=True)

    one, other = (read_checkpoint(session.out / FILE_NAME) for session in (whole, cut))
    assert one.contract == other.contract
    for state, resumed in ((one.model, other.model), (one.ema or {}, other.ema or {})):
        assert list(state) == list(resumed)
        assert all(torch.equal(state[name], resumed[name]) for name in state)
    assert one.ema is not None
    assert one.scheduler == other.scheduler


def test_a_finished_run_resumed_changes_nothing(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> None:
    session = setup_on_folds(tiny_data, tiny_recipe, tmp_path / "run")
    run_silently(session)
    before = read_checkpoint(session.out / FILE_NAME)
    run_silently(session, resume=True)
    assert read_checkpoint(session.out / FILE_NAME).contract == before.contract


def test_another_recipes_checkpoint_is_refused(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> None:
    run_silently(setup_on_folds(tiny_data, msgspec.structs.replace(tiny_recipe, epochs=1), tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"made by recipe tiny .* differs from this run's tiny in seed"):
        run_silently(
            setup_on_folds(tiny_data, msgspec.structs.replace(tiny_recipe, epochs=1, seed=6), tmp_path / "run"),
            resume=True,
        )


def test_other_clips_checkpoint_is_refused(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> None:
    recipe = msgspec.structs.replace(tiny_recipe, epochs=1)
    run_silently(setup_on_folds(tiny_data, recipe, tmp_path / "run"))
    (tiny_data / "audio" / "fold1" / "100-0-0-0.wav").unlink()
    with pytest.raises(ConfigError, match="made from other clips than this run's: clips_sha256 differ"):
        run_silently(setup_on_folds(tiny_data, recipe, tmp_path / "run"), resume=True)


def test_a_checkpoint_is_not_overwritten_by_a_new_run(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> None:
    session = setup_on_folds(tiny_data, msgspec.structs.replace(tiny_recipe, epochs=1), tmp_path / "run")
    run_silently(session)
    with pytest.raises(ConfigError, match="exists already; --resume"):
        run_silently(session)


def test_there_must_be_something_to_resume(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> None:
    with pytest.raises(ConfigError, match="--resume, and there is no"):
        run_silently(setup_on_folds(tiny_data, tiny_recipe, tmp_path / "run"), resume=True)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with pytest.raises(ModelError, match="No file"):
        load_network(path)
    for content in (b"", b"nonsense"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="does not read as a checkpoint"):
            load_network(path)
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="does not read as a checkpoint"):
        load_network(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schema": "soundwatch.checkpoint/2"}, "its schema is 'soundwatch.checkpoint/2', not"),
        ({"newer": 1}, "unexpected keyword argument 'newer'"),
        ({"plan": "{}"}, "missing required field"),
        ({"recipe": '{"newer": 1}'}, "unknown field `newer`"),
        ({"epoch": "2", "history": None}, "epoch, history has another type"),
        ({"model": {"weight": 1.0}}, "a weight has another type"),
        ({"model": {5: torch.zeros(1)}}, "a weight has another type"),
        ({"epoch": -1}, "not one row for each of its -1 epochs"),
        ({"history": [{"epoch": 1.0}]}, "not one row for each"),
        ({"history": [{"epoch": "one", "seconds": 1.0}]}, r"Expected `float \| null`, got `str`"),
        ({"history": [1]}, "Expected `object`, got `int`"),
    ],
)
def test_a_checkpoint_of_another_version_is_named_with_what_differs(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    path = write_checkpoint(tmp_path / FILE_NAME)
    torch.save(torch.load(path, weights_only=True) | changed, path)
    with pytest.raises(ModelError, match=f"checkpoint of this version of soundwatch: .*{message}.* Use the version"):
        load_network(path)


def test_a_model_whose_files_would_be_in_another_folder_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / FILE_NAME)
    values = torch.load(path, weights_only=True)
    values["contract"] = values["contract"].replace('"name":"small"', '"name":"../../small"')
    torch.save(values, path)
    with pytest.raises(ContractError, match=r"name is '\.\./\.\./small'; letters, digits"):
        load_network(path)


def test_what_a_killed_run_left_is_removed_at_the_next_start(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe
) -> None:
    session = setup_on_folds(tiny_data, msgspec.structs.replace(tiny_recipe, epochs=1), tmp_path / "run")
    session.out.mkdir()
    for name in (FILE_NAME, "log.csv", "curves.png"):
        (session.out / f".{name}.{2**30}.part").write_bytes(b"half")
    run_silently(session)
    assert not list(session.out.glob(".*"))


def test_a_checkpoint_without_the_optimizers_state_is_not_resumed(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe
) -> None:
    session = setup_on_folds(tiny_data, msgspec.structs.replace(tiny_recipe, epochs=1), tmp_path / "run")
    run_silently(session)
    path = session.out / FILE_NAME
    torch.save(torch.load(path, weights_only=True) | {"optimiser": {}}, path)
    with pytest.raises(ModelError, match=r"The state in .* does not fit its run \(KeyError\)"):
        run_silently(session, resume=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scheduler": {}}, r"does not fit its run \(ValueError\)"),
        ({"ema": "exchanged"}, "not those that its contract"),
    ],
)
def test_an_incomplete_or_exchanged_state_is_not_resumed(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe, changed: dict[str, object], message: str
) -> None:
    session = setup_on_folds(tiny_data, msgspec.structs.replace(tiny_recipe, epochs=1), tmp_path / "run")
    run_silently(session)
    path = session.out / FILE_NAME
    values = torch.load(path, weights_only=True)
    if "ema" in changed:
        changed = {"ema": {name: value + 1 for name, value in values["ema"].items()}}
    torch.save(values | changed, path)
    with pytest.raises(ModelError, match=message):
        run_silently(session, resume=True)


def test_a_checkpoint_with_a_flipped_bit_is_neither_resumed_nor_exported(
    tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe
) -> None:
    """The bit may be in the optimizer's state, which no hash covers."""
    session = setup_on_folds(tiny_data, msgspec.structs.replace(tiny_recipe, epochs=1), tmp_path / "run")
    run_silently(session)
    path = session.out / FILE_NAME
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    content[largest.header_offset + largest.file_size // 2 + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"is damaged: its part {largest.filename} has another checksum"):
        run_silently(session, resume=True)
    with pytest.raises(ModelError, match="is damaged"):
        load_network(path)


def test_a_checkpoint_that_names_a_huge_network_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / FILE_NAME)
    values = torch.load(path, weights_only=True)
    recipe = json.loads(values["recipe"])
    recipe["network"]["widths"] = [1_000_000] * len(recipe["network"]["widths"])
    torch.save(values | {"recipe": json.dumps(recipe)}, path)
    with pytest.raises(ModelError, match="do not fit its recipe") as refused:
        load_network(path)
    assert refused.value.__cause__ is None, "torch was not asked for the memory"


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    path, proof = tmp_path / FILE_NAME, tmp_path / "proof"
    torch.save({"schema": _Code(proof)}, path)
    with pytest.raises(ModelError, match="does not read as a checkpoint"):
        load_network(path)
    assert not proof.exists()


def test_weights_that_were_exchanged_are_refused(tmp_path: Path, tiny_data: Path, tiny_recipe: Recipe) -> None:
    session = setup_on_folds(tiny_data, msgspec.structs.replace(tiny_recipe, epochs=1), tmp_path / "run")
    run_silently(session)
    values = torch.load(session.out / FILE_NAME, weights_only=True)
    next(iter(values["ema"].values())).add_(1.0)
    torch.save(values, session.out / FILE_NAME)
    with pytest.raises(ModelError, match="not those that its contract names"):
        load_network(session.out / FILE_NAME)
