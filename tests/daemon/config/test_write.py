"""Changed configuration files on disk."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundwatch.daemon.config.write import back_up, write_atomically, write_problem, write_with_copy
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


def test_a_file_that_is_mounted_alone_is_named_before_anything_is_written(tmp_path: Path) -> None:
    path, mounts = tmp_path / "my config.yaml", tmp_path / "mountinfo"
    path.write_text("a: 1\n")
    escaped = str(path).replace(" ", "\\040")
    mounts.write_text(f"22 1 8:1 / / rw - ext4 /dev/sda rw\n23 22 8:1 /home/c.yaml {escaped} rw - ext4 /dev/sda rw\n")
    assert "Mount its folder instead" in write_problem(path, mounts)
    assert write_problem(path, tmp_path / "none") == ""
    assert "Mount its folder instead" in write_problem(Path("/proc"), mounts)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that another user can reach; those of pytest are for its own user."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize(
    ("owner", "group", "mode", "problem"),
    [
        (0, 65534, 0o660, ""),
        (12345, 65534, 0o660, ""),
        (12345, 65534, 0o606, "belongs to the user 12345 and the group 65534.* chown 65534:65534"),
        (0, 54321, 0o666, "belongs to the user 0 and the group 54321"),
    ],
)
def test_a_user_who_cannot_keep_the_owner_keeps_the_group_or_gets_a_message(
    open_folder: Path, owner: int, group: int, mode: int, problem: str
) -> None:
    folder, path = open_folder, open_folder / "config.yaml"
    path.write_text("a: 1\n")
    os.chown(folder, 65534, 65534)
    os.chown(path, owner, group)
    path.chmod(mode)
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
    try:
        if problem:
            assert re.search(problem, write_problem(path))
            with pytest.raises(ConfigError, match=problem):
                write_with_copy(path, b"a: 2\n")
            with pytest.raises(ConfigError, match=problem):
                write_atomically(path, b"a: 2\n")
        else:
            assert write_problem(path) == ""
            write_with_copy(path, b"a: 2\n")
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
    assert path.read_text() == ("a: 1\n" if problem else "a: 2\n")
    assert sorted(file.name for file in folder.iterdir()) == ["config.yaml", *([] if problem else ["config.yaml.bak"])]
    assert (path.stat().st_gid, path.stat().st_mode & 0o777) == (group, mode)


def test_a_failed_write_leaves_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")

    def refuse(_: Path) -> None:
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        write_with_copy(path, b"a: 2\n", refuse)
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


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
