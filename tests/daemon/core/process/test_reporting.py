"""Usage reporting of libraries is off in every process, and a setting of the user stays and is shown."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from soundwatch.daemon.config.config import Config, JournalConfig
from soundwatch.daemon.core.process.reporting import SWITCHES, disable_reporting, enabled_reporting
from soundwatch.daemon.diagnostics.privacy.audit import audit
from soundwatch.daemon.diagnostics.privacy.text import audit_text
from support.cli_runner import soundwatch

ROOT = Path(__file__).resolve().parents[4]
REPORTING_LIBRARIES = {"onnxruntime", "ray", "ai_edge_litert"}
OFF = {"ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def clean_environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OFF} | more


def test_variables_without_a_value_are_set_and_others_stay() -> None:
    environment = {"HOME": "/", "ORT_DISABLE_TELEMETRY": "", "RAY_USAGE_STATS_ENABLED": "1"}
    disable_reporting(environment)
    assert environment == {"HOME": "/", "ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "1"}
    assert [switch.library for switch in enabled_reporting(environment)] == ["Ray"]


@pytest.mark.parametrize(("value", "off"), [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("off", False)])
def test_a_value_counts_as_off_where_onnx_runtime_reads_it_so(value: str, off: bool) -> None:
    environment = OFF | {"ORT_DISABLE_TELEMETRY": value}
    assert (enabled_reporting(environment) == ()) is off


@pytest.mark.parametrize(
    "module",
    [
        "soundwatch.daemon",
        "soundwatch.daemon.cli",
        "soundwatch.training",
        "soundwatch.export",
        pytest.param("soundwatch.export.cli", marks=pytest.mark.slow),  # imports torch
        "conftest",
    ],
)
def test_importing_any_package_of_ours_switches_reporting_off_and_children_inherit_that(module: str) -> None:
    program = (
        f"import {module}, subprocess, sys; "
        "sys.exit(subprocess.call([sys.executable, '-c', 'import json, os; print(json.dumps(dict(os.environ)))']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=clean_environment(PYTHONPATH=str(ROOT / "tests")),
        capture_output=True,
        text=True,
        check=True,
    )
    inherited = json.loads(done.stdout)
    assert {name: inherited.get(name) for name in OFF} == OFF


def test_nothing_else_in_the_project_sets_the_variables() -> None:
    own = Path("daemon/soundwatch/daemon/core/process/reporting.py")
    setting = re.compile(rf"environ\S*\W+({'|'.join(switch.variable for switch in SWITCHES)})\b")
    for room in ("daemon", "training", "export", "benchmarks", "scripts"):
        for path in (ROOT / room).rglob("*.py"):
            if path.relative_to(ROOT) != own:
                assert not setting.search(path.read_text(encoding="utf-8")), path


def test_every_script_imports_soundwatch_before_a_reporting_library() -> None:
    for room in ("benchmarks", "scripts"):
        for path in (ROOT / room).glob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            everywhere, at_top = (
                {name for node in nodes for name in imported(node)} for nodes in (ast.walk(tree), tree.body)
            )
            if everywhere & REPORTING_LIBRARIES:
                assert "soundwatch" in at_top, path
                assert not at_top & REPORTING_LIBRARIES, f"{path}: import it in a function, after soundwatch"


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return {node.module.partition(".")[0]} if isinstance(node, ast.ImportFrom) and node.module else set()


def test_the_privacy_page_lists_every_locked_package() -> None:
    page = (ROOT / "docs/privacy.md").read_text(encoding="utf-8").lower()
    called = {"onnxruntime-gpu": "onnx runtime", "ai-edge-litert": "litert", "torch": "pytorch"}
    called["mkdocs-material"] = "material for mkdocs"
    words = set(re.findall(r"[a-z0-9._-]*[a-z0-9]", page))
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if "==" in line:
            name = line.partition("==")[0]
            assert name in words or called.get(name, "\0") in page, f"{name}: look what it reports, and list it"


def test_the_releases_that_report_are_the_ones_that_were_looked_at() -> None:
    page = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    for name, package in {"ONNX Runtime": "onnxruntime-gpu", "Ray": "ray", "LiteRT": "ai-edge-litert"}.items():
        assert f"{name} {locked[package]}" in page, f"{name} {locked[package]}: look what it reports"


def test_the_audit_and_the_doctor_name_reporting_that_the_user_left_on(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(journal=JournalConfig(path="memory"))
    assert audit(config).reporting == ()
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    found = audit(config)
    assert found.leaves_house
    assert [item.variable for item in found.reporting] == ["ORT_DISABLE_TELEMETRY"]
    assert any("ONNX Runtime may send" in line and "'0'" in line for line in audit_text(found))


def test_a_setting_of_the_user_reaches_the_audit_and_the_doctor_of_the_command_line(tmp_path: Path) -> None:
    environment = clean_environment(ORT_DISABLE_TELEMETRY="0", STATE_DIRECTORY=str(tmp_path))
    audited = soundwatch("privacy", "audit", env=environment)
    assert audited.returncode == 12, audited.stderr
    assert b"ONNX Runtime may send" in audited.stdout
    examined = soundwatch("doctor", "--no-probe", "--json", env=environment)
    [off, on] = [finding for finding in json.loads(examined.stdout) if finding["part"] == "reporting"]
    assert (off["state"], on["state"]) == ("ok", "warning")
    assert "RAY_USAGE_STATS_ENABLED=0" in off["seen"]
    assert "set it to 1" in on["todo"]
