"""Changed configuration files on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soundwatch.daemon.core.config_write import back_up, write_atomically
from soundwatch.daemon.core.errors import ConfigError


def test_a_copy_has_the_mode_and_the_former_content(tmp_path: Path) -> None:
    path, link = tmp_path / "config.yaml", tmp_path / "link.yaml"
    path.write_text("a: 1\n")
    path.chmod(0o640)
    link.symlink_to(path.name)
    copy = back_up(link)
    assert copy == tmp_path / "config.yaml.bak"
    assert copy.read_text() == "a: 1\n"
    assert copy.stat().st_mode & 0o777 == 0o640


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
