"""Findings and audits of paths that lead nowhere, that are closed, or that the system refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.config.config import ClipsConfig, Config, JournalConfig
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.diagnostics.doctor import checks
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, Finding
from soundwatch.daemon.diagnostics.doctor.storage_checks import check_journal, check_sinks, check_unfinished
from soundwatch.daemon.diagnostics.privacy import audit as privacy_audit
from soundwatch.daemon.diagnostics.privacy import earlier_clips
from soundwatch.daemon.diagnostics.privacy.text import audit_text

KINDS = ("through a file", "a folder", "no such folder", "a long name", "a long path", "no such user", "a loop")


def path_of(kind: str, folder: Path) -> str:
    """Return a path of a kind; what it needs is made in the folder."""
    (folder / "file").touch()
    if kind == "a loop":
        (folder / "loop").symlink_to(folder / "loop")
    paths = {
        "through a file": "file/x",
        "a folder": ".",
        "no such folder": "none/such/x",
        "a long name": "y" * 300,
        "a long path": "x/" * 2500,
        "no such user": "~no-such-user/x",
        "a loop": "loop/x",
    }
    found = paths[kind]
    return found if found.startswith("~") else os.path.join(folder, found)  # noqa: PTH118  # keeps the dot


def case_of(config: Config) -> CheckInput:
    return CheckInput(config, None, None, listens=False, view=detached_view)


@pytest.mark.parametrize("kind", KINDS)
def test_the_doctor_has_a_finding_for_every_path_of_the_journal(kind: str, tmp_path: Path) -> None:
    case = case_of(Config(journal=JournalConfig(path=path_of(kind, tmp_path))))
    [found] = check_journal(case)
    assert found.part == "journal"
    assert found.state == ("note" if kind == "no such folder" else "fault")
    assert list(check_unfinished(case)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sink", ["json", "command", "unix"])
def test_the_doctor_has_a_fault_for_every_sink_that_cannot_be_opened(kind: str, sink: str, tmp_path: Path) -> None:
    [found, other] = check_sinks(case_of(Config(sinks=(f"{sink}:{path_of(kind, tmp_path)}", "json"))))
    assert (found.part, found.state) == ("sinks", "fault")
    assert other.state == "ok"


def test_a_sink_with_a_space_or_a_home_folder_in_its_path_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "my program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setenv("HOME", str(tmp_path))
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    absent = f"command:{tmp_path}/absent --token s3cret"
    sinks = (f"command:{program}", "command:~/my program", absent, f"command:{plain} --token s3cret")
    found = list(check_sinks(case_of(Config(sinks=sinks))))
    assert [finding.state for finding in found] == ["ok", "ok", "fault", "fault"]
    assert found[2].seen == f"command {tmp_path}/absent is not there.", "what may be a secret is not shown"
    assert found[3].seen == f"command {plain} is followed by arguments."
    assert "the path of one program, without arguments" in str(found[3].todo)


@pytest.mark.parametrize("kind", KINDS)
def test_an_audit_names_what_cannot_be_read_and_audits_the_rest(kind: str, tmp_path: Path) -> None:
    path = path_of(kind, tmp_path)
    sources = {"mic": SourceConfig(device=path)}
    result = privacy_audit.audit(
        Config(journal=JournalConfig(path=path), clips=ClipsConfig(folder=path), sources=sources, sinks=("json",))
    )
    assert [one.sink for one in result.destinations] == ["json"]
    refused = kind in ("a long name", "a long path", "no such user", "a loop", "a folder")
    assert (result.journal.problem is not None) == refused
    assert (result.clips.problem is not None) == (kind == "no such user")
    assert any("standard output" in line for line in audit_text(result))
    assert earlier_clips.earlier_clips(JournalConfig(path=path), path) == {}


def test_a_folder_that_cannot_be_listed_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, clips = tmp_path / "closed", tmp_path / "clips"
    closed.mkdir()
    clips.mkdir()
    (clips / f".soundwatch-restore-{2**40}-0").touch()
    iterdir = Path.iterdir

    def listed(folder: Path) -> object:
        if folder == closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", listed)
    config = Config(journal=JournalConfig(path=str(closed / "journal.db")), clips=ClipsConfig(folder=str(clips)))
    refused, stale = check_unfinished(case_of(config))
    assert refused.seen == f"{closed} cannot be read: Permission denied."
    assert str(clips) in stale.seen


def test_a_refused_configuration_is_a_finding_and_no_fault_of_soundwatch(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(sources={"mic": SourceConfig(device="/none")}, clips=ClipsConfig(folder="~no-such-user/x"))
    monkeypatch.setattr(checks, "PARTS", [("storage", check_unfinished), ("clips", _refused)])
    for found in checks.run_checks(case_of(config)):
        assert found.state == "fault"
        assert "no such user" in found.seen
        assert found.todo != "Report this."


def _refused(case: CheckInput) -> list[Finding]:
    from soundwatch.daemon.config.clips_folder import clips_folder

    assert case.config is not None
    clips_folder(case.config.clips)
    return []
