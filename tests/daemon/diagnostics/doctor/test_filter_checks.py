"""The service's filter of addresses is held against what its configuration needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.diagnostics.doctor.filter_checks import FilterSettings, filter_findings, read_filter
from soundwatch.daemon.diagnostics.network.network_filter import allowed_destinations, drop_in_text
from soundwatch.daemon.system.systemd_unit import UNIT

SHIPPED = Path(__file__).resolve().parents[4] / "daemon/systemd"


def states(allowed: str, *sinks: str) -> list[str]:
    destinations = allowed_destinations(Config(sinks=sinks))
    return [
        finding.state for finding in filter_findings(FilterSettings(True, frozenset(allowed.split())), destinations)
    ]


@pytest.mark.parametrize(
    ("allowed", "sink", "state"),
    [
        ("localhost", "json", "ok"),
        ("localhost", "mqtt://127.0.0.1", "ok"),
        ("localhost", "mqtt://192.168.1.5", "warning"),
        ("localhost 192.168.1.5", "mqtt://192.168.1.5", "ok"),
        ("localhost 192.168.0.0/16", "mqtt://192.168.1.5", "ok"),
        ("localhost fd00::/8", "mqtt://192.168.1.5", "warning"),
        ("localhost fd00::/8", "mqtt://[fd00::5]", "ok"),
        ("localhost 192.168.0.0/16", "mqtt://broker.lan", "warning"),
        ("localhost 192.168.0.0/16", "webhook:https://hooks.example.org/x", "warning"),
        ("localhost any", "webhook:https://hooks.example.org/x", "ok"),
        ("localhost", "http://0.0.0.0:8433", "warning"),
    ],
)
def test_a_destination_that_the_filter_drops_is_a_warning(allowed: str, sink: str, state: str) -> None:
    assert states(allowed, sink) == [state]


def test_the_drop_in_of_a_configuration_allows_all_that_it_needs(tmp_path: Path) -> None:
    sinks = ("mqtt://192.168.1.5", "mqtts://broker.lan", "webhook:http://8.8.8.8/x", "http://0.0.0.0:8433")
    destinations = allowed_destinations(Config(sinks=sinks))
    (tmp_path / UNIT).write_text((SHIPPED / UNIT).read_text())
    assert [finding.state for finding in filter_findings(read_filter([tmp_path]), destinations)] == ["warning"] * 4
    folder = tmp_path / f"{UNIT}.d"
    folder.mkdir()
    (folder / "10-network.conf").write_text(drop_in_text(destinations, ()))
    assert [finding.state for finding in filter_findings(read_filter([tmp_path]), destinations)] == ["ok"]


def test_a_unit_of_the_administrator_counts_before_the_packages_and_drop_ins_of_both_do(tmp_path: Path) -> None:
    ours, package = tmp_path / "etc", tmp_path / "lib"
    for folder in (ours, package):
        (folder / f"{UNIT}.d").mkdir(parents=True)
    (package / UNIT).write_text("[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost\n")
    (package / f"{UNIT}.d/a.conf").write_text("[Service]\nIPAddressAllow=10.0.0.1\n")
    assert read_filter([ours, package]) == FilterSettings(True, frozenset({"localhost", "10.0.0.1"}))
    (ours / UNIT).write_text("[Service]\nExecStart=/bin/true\n")
    assert not read_filter([ours, package]).denies
    assert read_filter([tmp_path / "none"]) == FilterSettings(False, frozenset())
