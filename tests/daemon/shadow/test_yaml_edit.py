"""Setting one value of a YAML file without changing any other byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.shadow.yaml_edit import set_yaml_value, write_atomically

TEXT = """\
# mine
model:   # which
    file: "urban"   # the one
    threads: 2

sinks:
  - json      # out
shadow: {file: models/b.onnx, share: 0.5}
"""


def test_only_the_value_changes() -> None:
    text = set_yaml_value(set_yaml_value(TEXT, "model", "file", "models/b.onnx"), "shadow", "file", "urban")
    assert text == TEXT.replace('"urban"', "models/b.onnx").replace("{file: models/b.onnx", "{file: urban")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: 1", "a: 1\n\nmodel:\n  file: x\n"),
        ("a: 1\r\n", "a: 1\r\n\r\nmodel:\r\n  file: x\r\n"),
        ("model:\n", "model: {file: x}\n"),
        ("model: null # yet\n", "model: {file: x} # yet\n"),
        ("model: {}\n", "model: {file: x}\n"),
        ("model: {threads: 2}\n", "model: {file: x, threads: 2}\n"),
        ("model:\n   # few\n   threads: 2\n", "model:\n   # few\n   file: x\n   threads: 2\n"),
        ("model:\n  file: >-\n    some\n    where\n", "model:\n  file: x"),
    ],
)
def test_a_missing_value_is_added(text: str, wanted: str) -> None:
    changed = set_yaml_value(text, "model", "file", "x")
    assert changed == wanted
    assert yaml.safe_load(changed)["model"]["file"] == "x"


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1), st.sampled_from(["a", "b c", "{d}", "#"]))
def test_any_string_is_read_back_unchanged(value: str, old: str) -> None:
    for text in (yaml.safe_dump({"model": {"file": old, "threads": 2}}), f"model: {{file: '{old}', threads: 2}}\n"):
        assert yaml.safe_load(set_yaml_value(text, "model", "file", value)) == {"model": {"file": value, "threads": 2}}


def test_a_file_behind_a_link_is_replaced_with_its_mode(tmp_path: Path) -> None:
    path, link = tmp_path / "config.yaml", tmp_path / "link.yaml"
    path.write_text("a: 1\n")
    path.chmod(0o640)
    link.symlink_to(path.name)
    write_atomically(link, b"a: 2\n")
    assert link.is_symlink()
    assert path.read_text() == "a: 2\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.yaml", "link.yaml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_of_a_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")
    os.chown(path, 12345, 54321)
    write_atomically(path, b"a: 2\n")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


def test_a_failed_check_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")

    def refuse(new: Path) -> None:
        assert new.read_bytes() == b"a: 2\n"
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        write_atomically(path, b"a: 2\n", refuse)
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]
    assert path.read_text() == "a: 1\n"
    with pytest.raises(ConfigError, match="cannot be changed: No such file"):
        write_atomically(tmp_path / "none.yaml", b"")
