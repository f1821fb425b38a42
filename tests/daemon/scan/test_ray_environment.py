"""Environment of local Ray clusters, which sends no HTTP request to other machines."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from soundwatch.daemon.scan.ray_environment import NO_PROXY, local_cluster_environment
from support.cli_runner import soundwatch
from support.labeled_folder import write_sound

TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 -- the variable's name


def test_proxies_are_set_while_a_cluster_starts_and_restored_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128")
    monkeypatch.setenv("no_proxy", "169.254.169.254")
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv(TOKEN, "")
    with local_cluster_environment():
        assert os.environ["http_proxy"] == os.environ["https_proxy"] == NO_PROXY
        assert "no_proxy" not in os.environ
    assert os.environ["http_proxy"] == "http://proxy.example.org:3128"
    assert os.environ["no_proxy"] == "169.254.169.254"
    assert "https_proxy" not in os.environ


@pytest.mark.parametrize("setting", [TOKEN, "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"])
def test_a_token_is_generated_only_without_a_setting_of_the_user(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    for name in (TOKEN, "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, "")
    with local_cluster_environment():
        assert len(os.environ[TOKEN]) == 64
    monkeypatch.setenv(TOKEN, "")
    monkeypatch.setenv(setting, "theirs")
    with local_cluster_environment():
        assert os.environ[TOKEN] == ("theirs" if setting == TOKEN else "")


@pytest.mark.slow
def test_a_temporary_folder_too_long_for_rays_sockets_is_refused_with_a_message(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:  # an import here would fix Ray's settings for later tests
        pytest.skip("ray is not installed: pip install '.[ray]'")
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    write_sound(tmp_path / "archive/a.wav")
    command = ("scan", tmp_path / "archive", "--out", tmp_path / "out.jsonl", "--engine", "ray", "--workers", "1")
    done = soundwatch(*command, env={"TMPDIR": str(folder)})
    assert done.returncode == 2, done.stderr
    assert b"Ray cannot be started on this machine" in done.stderr
    assert b"TMPDIR" in done.stderr
